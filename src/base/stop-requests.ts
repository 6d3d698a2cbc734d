/**
 * Tells a second request to stop from one that is delivered twice: a terminal sends Ctrl-C to all processes of its
 * foreground group, and npm and npx, being among them, pass it on to the command they run. Taken for a second request,
 * the echo would end a process that is about to stop in good order.
 */
const echoMs = 1000;

export class StopRequests {
  #last: { readonly signal: string; readonly atMs: number } | undefined;

  /**
   * What a signal at `nowMs` (of any monotonic clock) means: `stop` the first, `now` every other one, `echo` the same
   * signal within a second of the one before.
   */
  take(signal: string, nowMs: number): 'stop' | 'now' | 'echo' {
    const last = this.#last;
    if (last && last.signal === signal && nowMs - last.atMs < echoMs) return 'echo';
    this.#last = { signal, atMs: nowMs };
    return last ? 'now' : 'stop';
  }
}
