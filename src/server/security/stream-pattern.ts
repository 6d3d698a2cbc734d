/** Patterns of stream names, as grants have them: `*` stands for any characters, also none, also `/`; all else for itself. */

const charactersMax = 255;
/** What a name may consist of (streams/stream-name.ts), and `*`. */
const allowedPattern = /^[\p{L}\p{M}\p{Nd}._\-/:*]+$/u;

/** What is wrong with a pattern; undefined when nothing is. */
export function patternFault(pattern: string): string | undefined {
  if (pattern.length < 1 || pattern.length > charactersMax) return `must have 1 to ${charactersMax} characters`;
  if (allowedPattern.test(pattern)) return undefined;
  return 'may consist of letters, digits, . _ - / : and *, which stands for any characters';
}

/** Goes back to the last `*` only, so that it takes at most the product of both lengths. */
export function matchesPattern(pattern: string, name: string): boolean {
  let inPattern = 0;
  let inName = 0;
  let lastStar = -1;
  let afterStar = 0;
  while (inName < name.length) {
    if (pattern[inPattern] === '*') {
      lastStar = inPattern++;
      afterStar = inName;
    } else if (pattern[inPattern] === name[inName]) {
      inPattern++;
      inName++;
    } else if (lastStar >= 0) {
      inPattern = lastStar + 1;
      inName = ++afterStar;
    } else {
      return false;
    }
  }
  while (pattern[inPattern] === '*') inPattern++;
  return inPattern === pattern.length;
}
