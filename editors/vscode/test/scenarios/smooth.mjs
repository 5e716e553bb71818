// Typing stays smooth while the server hangs.

import assert from 'node:assert/strict';
import { eventually } from '../window.mjs';

/** The most that a key may hold up the extension host, in ms: one frame of a screen. */
const FRAME = 16;

const KEYS = 150;

export const smooth = {
  'no key takes a frame in the extension host while the server hangs': async (window) => {
    const fake = window.fake('hang');
    await window.settings(fake.settings);
    await window.status(/fake is ready/);
    await window.edit('hangs.txt', 'a line of text\n'.repeat(2_000));
    await window.type('x'.repeat(KEYS), { delay: 20 });
    await eventually('a request that is never answered', () => fake.heard('textDocument/inlineCompletion').length > 0);

    await window.probe(startProfiler);
    await window.type('y'.repeat(KEYS), { delay: 30 });
    const { stretches, total } = await window.probe(oursInProfile);
    await window.lineIs(1, `${'x'.repeat(KEYS)}${'y'.repeat(KEYS)}a line of text`);

    const worst = stretches.at(-1);
    console.log(
      `# Infill in the extension host while the server hangs: ${(total / KEYS).toFixed(2)} ms a key, ` +
        `${worst?.toFixed(1)} ms at a time at worst`,
    );
    assert.ok(total > 0, 'the profile has seen Infill at work');
    assert.ok(worst < FRAME, `Infill held up the extension host for ${worst} ms at a time`);
    assert.equal((await window.servers()).length, 1, 'the server hangs, and is not gone');
    assert.deepEqual(await window.everyMessage(), [], 'nobody was told anything');
  },
};

/** Runs in the extension host: what else goes on there, VS Code's own housekeeping above all, must not count. */
function startProfiler(_vscode) {
  const { Session } = require('node:inspector');
  const session = new Session();
  globalThis.profiling = session;
  session.connect();
  session.post('Profiler.enable');
  session.post('Profiler.setSamplingInterval', { interval: 500 });
  session.post('Profiler.start');
}

/**
 * Runs in the extension host: the time in functions of ours and in all that they call, in ms; as a whole, and for each
 * stretch without a rest in which they have a part.
 */
async function oursInProfile(_vscode) {
  const session = globalThis.profiling;
  const profile = await new Promise((resolve) =>
    session.post('Profiler.stop', (_, stopped) => resolve(stopped.profile)),
  );
  session.disconnect();
  const ours = new Set();
  const idle = new Set();
  const nodes = new Map(profile.nodes.map((node) => [node.id, node]));
  const walk = (node, within) => {
    const { url, functionName } = node.callFrame;
    const isOurs = within || url.includes('/infill.infill-');
    isOurs && ours.add(node.id);
    functionName === '(idle)' && idle.add(node.id);
    for (const child of node.children ?? []) {
      walk(nodes.get(child), isOurs);
    }
  };
  walk(profile.nodes[0], false);
  const stretches = [0];
  profile.samples.forEach((id, index) => {
    if (idle.has(id)) {
      stretches.push(0);
    } else if (ours.has(id)) {
      stretches[stretches.length - 1] += profile.timeDeltas[index] / 1000;
    }
  });
  const total = stretches.reduce((sum, stretch) => sum + stretch, 0);
  return { total, stretches: stretches.filter(Boolean).sort((a, b) => a - b) };
}
