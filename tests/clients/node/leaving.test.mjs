// The server's end: in order, out of order, and when its client dies.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { afterEach, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { Client, eventually, killLeftovers, within } from './client.mjs';

afterEach(killLeftovers);

const TEXT = 'def area(self):\n    return self.side * ';
const AT = { line: 1, character: 23 };

/** Does the process run? One that has ended and waits to be collected does not. */
function isAlive(pid) {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    return !stat.slice(stat.lastIndexOf(')') + 2).startsWith('Z');
  } catch {
    return false;
  }
}

test('shutdown and exit end the server with status 0, and another one starts', async () => {
  for (let time = 0; time < 3; time += 1) {
    const client = await Client.start();
    await client.complete(client.open('a.py', 'python', TEXT), AT);
    await client.stop();
  }
});

test('exit without shutdown ends it with status 1', async () => {
  const client = await Client.start();
  await client.connection.sendNotification('exit');
  assert.equal(await within('the end of the server', client.ended), 1);
});

test('requests before initialize and after shutdown are refused', async () => {
  const client = new Client();
  await assert.rejects(client.complete('file:///a.py', AT), { code: -32002 });
  await client.initialize({ capabilities: {} });
  await client.connection.sendRequest('shutdown');
  await assert.rejects(client.complete('file:///a.py', AT), { code: -32600 });
  await client.connection.sendNotification('exit');
  assert.equal(await within('the end of the server', client.ended), 0);
});

test('the server ends when its input is closed, even in the middle of a message', async () => {
  for (const last of ['', 'Content-Length: 100\r\n\r\n{"jsonrpc"']) {
    const client = await (await Client.start()).ready();
    client.complete(client.open('a.py', 'python', TEXT), AT).catch(() => {});
    // Once this is written, so is the request before it.
    await client.connection.sendNotification('$/setTrace', { value: 'off' });
    client.server.stdin.end(last);
    assert.equal(await within('the end of the server', client.ended), 1);
  }
});

test('the server ends when its client is killed', async () => {
  const client = spawn(process.execPath, [fileURLToPath(new URL('doomed.mjs', import.meta.url))], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const [said] = await within('a server', once(client.stdout, 'data'));
  const server = Number(said.toString());
  assert.ok(isAlive(server));
  client.kill('SIGKILL');
  await eventually('the end of the server', async () => !isAlive(server));
});

test('the server ends with the process that initialize names, though its input stays open', async () => {
  const editor = spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000)'], { stdio: 'ignore' });
  const client = await (await Client.start({ processId: editor.pid })).ready();
  editor.kill('SIGKILL');
  assert.equal(await within('the end of the server', client.ended), 1);
});
