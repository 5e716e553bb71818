// Which server fits this extension.

import semver from 'semver';

/** The version in what `infill --version` prints, or null if that is something else. */
export function versionIn(printed: string): string | null {
  return semver.valid(/^infill\s+(\S+)/.exec(printed)?.[1] ?? null);
}

/**
 * Is a server of this version too old for this extension? Both are released together, and servers
 * understand the extensions of older releases; the last number changes no conversation.
 */
export function isTooOld(server: string, extension: string): boolean {
  const { major, minor } = semver.parse(extension) ?? { major: 0, minor: 0 };
  return semver.lt(server, `${major}.${minor}.0-0`);
}
