// The pictures of the README, taken from the real window. With PICTURES=1 they replace those in images/.

import assert from 'node:assert/strict';
import path from 'node:path';
import { eventually, root } from '../window.mjs';
import { LAST_LINE } from './sources.mjs';

export const pictures = {
  'what the README shows': async (window) => {
    const file = await window.edit('store.go', LAST_LINE.text, LAST_LINE.at);
    await window.command('workbench.action.closeSidebar');
    await window.press('Alt+\\');
    await window.ghostIs(window.suggestion(file, LAST_LINE.at));
    await take(window, 'ghost.png', { x: 40, y: 40, width: 700, height: 440 });
    await window.press('Escape');
    await window.page.locator('.statusbar-item[id^="infill.infill"] a').click();
    await eventually('the menu', () => window.page.locator('.quick-input-widget .monaco-list-row').first().isVisible());
    // It fades in.
    await window.page.waitForTimeout(500);
    await take(window, 'menu.png', { x: 200, y: 0, width: 700, height: 400 });
    await window.press('Escape');
  },
};

async function take(window, name, clip) {
  const keep = process.env.PICTURES ? { path: path.join(root, 'images', name) } : {};
  const picture = await window.page.screenshot({ clip, ...keep });
  assert.ok(picture.length > 5_000, 'there is something in the picture');
}
