export interface Contradiction {
  /** Keys of the settings, all of which the message names. */
  readonly keys: readonly string[];
  readonly message: string;
}
