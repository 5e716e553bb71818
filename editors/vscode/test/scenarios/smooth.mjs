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

    const worsts = [];
    for (let round = 1; round <= ROUNDS; round += 1) {
      const costs = await costsOfKeys(window);
      assert.ok(costs.length >= KEYS - 2, `${costs.length} keys were seen`);
      const [median, worst] = [costs[Math.floor(costs.length / 2)], costs.at(-1)];
      console.log(`# a key in the extension host: ${median.toFixed(1)} ms at the median, ${worst.toFixed(1)} at worst`);
      worsts.push(worst);
    }
    // What a hanging server costs, it costs each time; VS Code's own housekeeping falls into some of the rounds.
    assert.ok(Math.min(...worsts) < FRAME, `in each round a key took over ${FRAME} ms: ${worsts}`);
    assert.equal((await window.everyMessage()).length, 0, 'nobody was told anything');
  },
};

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
