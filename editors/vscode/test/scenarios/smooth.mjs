// Typing stays smooth while the server hangs.

import assert from 'node:assert/strict';
import { eventually } from '../window.mjs';

/** The most that a key may cost the extension host's thread, in ms: one frame of a screen. */
const FRAME = 16;

/** Enough for a worst case, and after as many keys as it takes until V8 has compiled what runs. */
const KEYS = 60;

const ROUNDS = 3;

export const smooth = {
  'no key takes a frame in the extension host while the server hangs': async (window) => {
    const fake = window.fake('hang');
    await window.settings(fake.settings);
    await window.status(/fake is ready/);
    await window.edit('hangs.txt', `${'a line of text\n'.repeat(2_000)}`);
    await window.type('x'.repeat(2 * KEYS), { delay: 20 });
    await eventually('a request that is never answered', () => fake.heard('textDocument/inlineCompletion').length > 0);

    const hanging = await rounds(window, 'while the server hangs');
    assert.equal((await window.everyMessage()).length, 0, 'nobody was told anything');
    await window.settings({ ...fake.settings, 'infill.enabled': false });
    await window.status(/Infill is off/);
    await window.focus();
    const without = await rounds(window, 'without Infill');
    // VS Code has housekeeping of its own; what counts is what is ours. What a hanging server costs, it costs each time.
    assert.ok(hanging.most < FRAME, `one key in twenty takes ${hanging.most} ms`);
    assert.ok(
      hanging.worst - without.worst < FRAME,
      `a key takes ${hanging.worst} ms, without Infill ${without.worst}`,
    );
    await window.settings(fake.settings);
  },
};

/** The cost of keys, in ms: what one in twenty is above, and the worst of the best round. */
async function rounds(window, when) {
  const all = [];
  for (let round = 1; round <= ROUNDS; round += 1) {
    const costs = await costsOfKeys(window);
    assert.ok(costs.length >= KEYS - 2, `${costs.length} keys were seen`);
    all.push(costs);
  }
  const flat = all.flat().sort((a, b) => a - b);
  const at = (part) => flat[Math.floor(flat.length * part)];
  const worst = Math.min(...all.map((costs) => costs.at(-1)));
  console.log(
    `# a key in the extension host ${when}: ${at(0.5).toFixed(1)} ms at the median, ` +
      `${at(0.95).toFixed(1)} at the 95th percentile, ${worst.toFixed(1)} at worst in the best of ${ROUNDS} rounds`,
  );
  return { most: at(0.95), worst };
}

/** What each of many keys costs the extension host's thread, in ms, in order. */
async function costsOfKeys(window) {
  // Time of the thread, not of the clock: what other programs take from it is not ours.
  await window.probe((vscode) => {
    globalThis.costs = [];
    let before = process.threadCpuUsage();
    globalThis.watching = vscode.workspace.onDidChangeTextDocument(() => {
      const { user, system } = process.threadCpuUsage(before);
      globalThis.costs.push((user + system) / 1000);
      before = process.threadCpuUsage();
    });
  });
  await window.type('y'.repeat(KEYS), { delay: 40 });
  return window.probe((_vscode) => {
    globalThis.watching.dispose();
    // The first one reaches back to before the typing.
    return globalThis.costs.slice(1).sort((a, b) => a - b);
  });
}
