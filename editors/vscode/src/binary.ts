// Where the server's binary is, and whether it fits this extension.

import { execFile } from 'node:child_process';
import { chmod, stat } from 'node:fs/promises';
import { homedir } from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import { type ExtensionContext, workspace } from 'vscode';
import { isTooOld, versionIn } from './version';

/** How to get a server, for messages that say that there is none. */
const INSTALL =
  "Install it with `cargo install --path server/infill` in Infill's repository, " +
  'or set `infill.server.path` to where it is.';

/** Longest wait for `infill --version`, in ms: a cold disk is slow, a hung program is slower. */
const PATIENCE = 20_000;

/** A server that can be started. */
export interface Binary {
  path: string;
  version: string;
}

/**
 * The server to start: that of the setting, else the one that came with the extension, else that on
 * the PATH. Throws an error whose message tells the user what to do.
 */
export async function findBinary(context: ExtensionContext): Promise<Binary> {
  const set = workspace.getConfiguration('infill').get<string | null>('server.path')?.trim();
  const found = set ? expand(set) : ((await bundled(context)) ?? 'infill');
  const printed = await printedVersion(found, set !== undefined && set !== '');
  const version = versionIn(printed);
  if (version === null) {
    throw new Error(`${found} is not Infill's server: \`--version\` printed "${printed.trim()}". ${INSTALL}`);
  }
  const wanted = context.extension.packageJSON.version as string;
  if (isTooOld(version, wanted)) {
    throw new Error(
      `The server ${found} is version ${version}, too old for this extension, which is version ${wanted}. ${INSTALL}`,
    );
  }
  return { path: found, version };
}

function expand(set: string): string {
  return set.startsWith('~/') ? path.join(homedir(), set.slice(2)) : set;
}

/** The server inside the extension, in builds for one platform. */
async function bundled(context: ExtensionContext): Promise<string | undefined> {
  const file = path.join(context.extensionPath, 'bin', process.platform === 'win32' ? 'infill.exe' : 'infill');
  const found = await stat(file).catch(() => undefined);
  // Not every way of unpacking an extension keeps the right to execute.
  if (found && !(found.mode & 0o100)) {
    await chmod(file, 0o755);
  }
  return found && file;
}

async function printedVersion(file: string, isSet: boolean): Promise<string> {
  try {
    return (await promisify(execFile)(file, ['--version'], { timeout: PATIENCE })).stdout;
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT') {
      throw new Error(
        isSet
          ? `There is no ${file}, which \`infill.server.path\` names. ${INSTALL}`
          : `Infill's server is missing: this build of the extension has none in it, and there is no \`infill\` on the PATH. ${INSTALL}`,
      );
    }
    throw new Error(`${file} cannot be started: ${message.trim()}. ${INSTALL}`);
  }
}
