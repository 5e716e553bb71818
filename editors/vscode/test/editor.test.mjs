// The extension in a real VS Code: every scenario in one window, as a person's day is.

import assert from 'node:assert/strict';
import { mkdirSync } from 'node:fs';
import path from 'node:path';
import { after, afterEach, before, test } from 'node:test';
import { accepting } from './scenarios/accepting.mjs';
import { faults } from './scenarios/faults.mjs';
import { models } from './scenarios/models.mjs';
import { pictures } from './scenarios/pictures.mjs';
import { places } from './scenarios/places.mjs';
import { smooth } from './scenarios/smooth.mjs';
import { status } from './scenarios/status.mjs';
import { typing } from './scenarios/typing.mjs';
import { root, Window } from './window.mjs';

const scenarios = { ...accepting, ...typing, ...pictures, ...status, ...models, ...faults, ...smooth, ...places };

let window;
before(async () => {
  window = await Window.open();
});
after(() => window?.close());
afterEach(() => window.tidy());

const only = process.env.ONLY && new RegExp(process.env.ONLY);
for (const [name, run] of Object.entries(scenarios).filter(([name]) => !only || only.test(name))) {
  test(name, async () => {
    try {
      await run(window);
      assert.doesNotMatch((await window.messages()).join('\n'), /client is not running/i);
    } catch (error) {
      const pictures = path.join(root, '../../.cache/vscode-failures');
      mkdirSync(pictures, { recursive: true });
      await window.page.screenshot({ path: path.join(pictures, `${name.replaceAll(/\W+/g, '-')}.png`) });
      throw error;
    }
  });
}
