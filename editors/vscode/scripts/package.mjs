// Writes the .vsix: with the server in it, for this platform, if a server has been built; else a plain one for all.
//
// The server is INFILL_BIN, else target/release/infill of this repository.

import { chmod, copyFile, mkdir, readdir, rm, stat } from 'node:fs/promises';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { createVSIX } from '@vscode/vsce';
import './build.mjs';

const root = fileURLToPath(new URL('..', import.meta.url));
const repository = path.join(root, '../..');
const name = process.platform === 'win32' ? 'infill.exe' : 'infill';
const built = process.env.INFILL_BIN || path.join(repository, 'target/release', name);
const hasServer = await stat(built).then(
  (found) => found.isFile(),
  () => false,
);
if (process.env.INFILL_BIN && !hasServer) {
  throw new Error(`INFILL_BIN is ${built}, and that is no file`);
}

const bundled = path.join(root, 'bin');
await rm(bundled, { recursive: true, force: true });
if (hasServer) {
  await mkdir(bundled);
  await copyFile(built, path.join(bundled, name));
  await chmod(path.join(bundled, name), 0o755);
}
for (const licence of ['LICENSE-MIT', 'LICENSE-APACHE']) {
  await copyFile(path.join(repository, licence), path.join(root, 'dist', licence));
}

// One of another kind that was left from before would be taken for this one.
for (const old of (await readdir(root)).filter((name) => name.endsWith('.vsix'))) {
  await rm(path.join(root, old));
}
const target = hasServer ? `${process.platform}-${process.arch}` : undefined;
const packagePath = path.join(root, target ? `infill-${target}.vsix` : 'infill.vsix');
await createVSIX({
  cwd: root,
  packagePath,
  target,
  dependencies: false,
  allowMissingRepository: true,
  rewriteRelativeLinks: false,
  skipLicense: true,
});
