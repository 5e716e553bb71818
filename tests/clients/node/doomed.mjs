// A client that is killed while a completion is under way; prints the process id of its server.

import { Client } from './client.mjs';

const client = await (await Client.start()).ready();
const uri = client.open('a.py', 'python', 'x = 1\n'.repeat(200));
client.complete(uri, { line: 100, character: 0 });
console.log(client.server.pid);
setInterval(() => {}, 1000);
