// The parts that need no editor: versions, pauses, words of the status, the page "why".

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

/** A module of the extension, as it is bundled. */
async function load(name) {
  const entry = fileURLToPath(new URL(`../src/${name}.ts`, import.meta.url));
  const { outputFiles } = await build({
    entryPoints: [entry],
    bundle: true,
    format: 'esm',
    platform: 'node',
    write: false,
  });
  return import(`data:text/javascript,${encodeURIComponent(outputFiles[0].text)}`);
}

const { versionIn, isTooOld } = await load('version');
const { Pauses } = await load('pauses');
const { look, lastAnswer } = await load('status');
const { pageOf } = await load('whypage');
const manifest = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8'));

test('the version is read from what the server prints', () => {
  assert.equal(versionIn('infill 0.1.0\n'), '0.1.0');
  assert.equal(versionIn('infill 1.2.3-beta.1\n'), '1.2.3-beta.1');
  assert.equal(versionIn('something else 1.0\n'), null);
  assert.equal(versionIn(''), null);
});

test('a server is too old if its first two numbers are behind', () => {
  assert.equal(isTooOld('0.1.0', '0.1.0'), false);
  assert.equal(isTooOld('0.1.0', '0.1.7'), false);
  assert.equal(isTooOld('0.2.0', '0.1.7'), false);
  assert.equal(isTooOld('0.1.9', '0.2.0'), true);
  assert.equal(isTooOld('0.9.0', '1.0.0'), true);
  assert.equal(isTooOld('0.2.0-beta.1', '0.2.0'), false);
});

test('pauses double up to a minute, and end', () => {
  const pauses = new Pauses();
  const all = Array.from({ length: 9 }, () => pauses.next(0));
  assert.deepEqual(all, [1, 2, 4, 8, 16, 32, 60, 60, null]);
  pauses.reset();
  assert.equal(pauses.next(0), 1);
});

test('a server that was well for long begins anew', () => {
  const pauses = new Pauses();
  pauses.next(0);
  pauses.next(0);
  assert.equal(pauses.next(600), 1);
});

const READY = { state: 'ready', model: 'm', percent: null, uri: null, why: null, ms: 7.24 };
const VIEW = {
  phase: { at: 'running', version: '0.1.0' },
  isEnabled: true,
  said: { kind: 'Normal', busy: false, message: 'm is ready', infill: READY },
  document: { active: true, language: 'go', why: null },
  isFileOff: false,
};
const said = (change, infill = {}) => ({ ...VIEW, said: { ...VIEW.said, ...change, infill: { ...READY, ...infill } } });

test('the status in each state', () => {
  const shown = (view) => {
    const { icon, more, words, severity } = look(view);
    return `${icon}${more} ${severity}: ${words}`;
  };
  assert.equal(shown(VIEW), 'sparkle plain: m is ready');
  assert.equal(shown(said({ busy: true })), 'loading~spin plain: Thinking (m is ready)');
  assert.equal(
    shown(said({ busy: true, message: 'loading m' }, { state: 'loading', percent: 37.4 })),
    'loading~spin 37% plain: loading m',
  );
  assert.equal(shown({ ...VIEW, isEnabled: false }), 'circle-slash plain: Infill is off');
  assert.equal(shown({ ...VIEW, isFileOff: true }), 'circle-slash plain: Off for this file');
  assert.equal(
    shown({ ...VIEW, document: { active: false, language: 'go', why: 'go is off' } }),
    'circle-slash plain: go is off',
  );
  assert.equal(shown({ ...VIEW, said: undefined }), 'loading~spin plain: The server is starting');
  assert.equal(shown({ ...VIEW, phase: { at: 'starting' } }), 'loading~spin plain: The server is starting');
  assert.match(shown({ ...VIEW, phase: { at: 'pausing', seconds: 4 } }), /^warning warning: .* again in 4 s$/);
  assert.equal(shown({ ...VIEW, phase: { at: 'failed', why: 'no server' } }), 'error error: no server');
  assert.equal(shown(said({ kind: 'Error', message: 'no memory' }, { state: 'failed' })), 'error error: no memory');
  assert.equal(shown(said({ kind: 'Warning', message: 'no model x' })), 'warning warning: no model x');
});

test('how long the last answer took', () => {
  assert.equal(lastAnswer(VIEW.said), 'The last answer took 7.2 ms');
  assert.equal(lastAnswer(said({}, { ms: 123.4 }).said), 'The last answer took 123 ms');
  assert.equal(lastAnswer(undefined), undefined);
});

test('the page why keeps fences in the prompt apart', () => {
  const page = pageOf({
    uri: 'file:///w/a%20b.py',
    position: { line: 3, character: 8 },
    trigger: 'automatic',
    prompt: '```py\n[MASK]\n```',
    answer: 'x',
    decision: 'shown',
    shown: 'x',
    record: { timings_ms: { total: 7.2 }, tokens_prefilled: 2 },
  });
  assert.match(page, /file: file:\/\/\/w\/a b\.py, line 4, column 9/);
  assert.match(page, /````\n```py\n\[MASK\]\n```\n````/);
  assert.match(page, /\| total \| 7\.2 \|/);
  assert.match(page, /\| tokens_prefilled \| 2 \|/);
  assert.match(pageOf(null), /Nothing was asked/);
});

test('an untrusted workspace changes nothing of server or model', () => {
  const { restrictedConfigurations } = manifest.capabilities.untrustedWorkspaces;
  const machines = Object.entries(manifest.contributes.configuration.properties)
    .filter(([, { scope }]) => scope === 'machine-overridable')
    .map(([name]) => name);
  assert.deepEqual([...restrictedConfigurations].sort(), machines.sort());
  assert.ok(machines.includes('infill.server.path') && machines.includes('infill.model'));
});

test('every setting says what it does and has a default', () => {
  for (const [name, setting] of Object.entries(manifest.contributes.configuration.properties)) {
    assert.ok(setting.description || setting.markdownDescription, name);
    assert.ok('default' in setting, name);
  }
});
