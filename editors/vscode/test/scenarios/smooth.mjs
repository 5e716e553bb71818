// Typing stays smooth while the server hangs.

import assert from 'node:assert/strict';
import { eventually } from '../window.mjs';

/** The most that a key may cost the extension host's thread, in ms: one frame of a screen. */
const FRAME = 16;

/** Enough for a worst case, and after as many keys as it takes until V8 has compiled what runs. */
const KEYS = 60;

export const smooth = {
  'no key takes a frame in the extension host while the server hangs': async (window) => {
    const fake = window.fake('hang');
    await window.settings(fake.settings);
    await window.status(/fake is ready/);
    await window.edit('hangs.txt', `${'a line of text\n'.repeat(2_000)}`);
    await window.type('x'.repeat(KEYS), { delay: 20 });
    await eventually('a request that is never answered', () => fake.heard('textDocument/inlineCompletion').length > 0);

    // Time of the thread, not of the clock: what other programs take from it is not ours.
    await window.probe((vscode) => {
      globalThis.costs = [];
      const begin = () => process.threadCpuUsage();
      let before = begin();
      globalThis.watching = vscode.workspace.onDidChangeTextDocument(() => {
        const { user, system } = process.threadCpuUsage(before);
        globalThis.costs.push((user + system) / 1000);
        before = begin();
      });
    });
    await window.type('y'.repeat(KEYS), { delay: 40 });
    await window.lineIs(1, `${'x'.repeat(KEYS)}${'y'.repeat(KEYS)}a line of text`);
    const costs = await window.probe((_vscode) => {
      globalThis.watching.dispose();
      // The first one reaches back to before the typing.
      return globalThis.costs.slice(1).sort((a, b) => a - b);
    });
    assert.ok(costs.length >= KEYS - 2, `${costs.length} keys were seen`);
    const [median, worst] = [costs[Math.floor(costs.length / 2)], costs.at(-1)];
    console.log(`# a key in the extension host: ${median.toFixed(1)} ms at the median, ${worst.toFixed(1)} at worst`);
    assert.ok(worst < FRAME, `a key took ${worst} ms`);
    assert.equal((await window.everyMessage()).length, 0, 'nobody was told anything');
  },
};
