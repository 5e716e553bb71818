// Renders images/icon.svg to images/icon.png, which is what VS Code shows. Needs Chromium; run it when the drawing changes.

import path from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { chromium } from 'playwright-core';

const images = fileURLToPath(new URL('../images/', import.meta.url));

const browser = await chromium.launch({ executablePath: '/usr/bin/chromium', args: ['--no-sandbox', '--disable-gpu'] });
const page = await browser.newPage({ viewport: { width: 256, height: 256 } });
await page.goto(pathToFileURL(path.join(images, 'icon.svg')).href);
await page.screenshot({ path: path.join(images, 'icon.png'), omitBackground: true });
await browser.close();
