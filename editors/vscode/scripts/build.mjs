// Bundles the extension into dist/main.js, and the licences of what is bundled into dist/LICENSES.txt.

import { readdir, readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

const root = fileURLToPath(new URL('..', import.meta.url));

const { metafile } = await build({
  absWorkingDir: root,
  entryPoints: ['src/main.ts'],
  outfile: 'dist/main.js',
  bundle: true,
  minify: true,
  sourcemap: false,
  metafile: true,
  platform: 'node',
  format: 'cjs',
  target: 'node20',
  external: ['vscode'],
});

const packages = new Set(
  Object.keys(metafile.inputs)
    .filter((input) => input.startsWith('node_modules/'))
    .map((input) => /^.*node_modules\/(@[^/]+\/)?[^/]+/.exec(input)[0]),
);
const licences = await Promise.all([...packages].sort().map(licenceOf));
await writeFile(path.join(root, 'dist/LICENSES.txt'), licences.join(`\n\n${'-'.repeat(80)}\n\n`));

async function licenceOf(folder) {
  const files = await readdir(path.join(root, folder));
  const file = files.find((name) => /^licen[sc]e/i.test(name));
  if (!file) {
    throw new Error(`${folder} has no licence file: it cannot be bundled`);
  }
  const { name, version } = JSON.parse(await readFile(path.join(root, folder, 'package.json'), 'utf8'));
  return `${name} ${version}\n\n${await readFile(path.join(root, folder, file), 'utf8')}`;
}
