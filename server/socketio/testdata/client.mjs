// The official client against the wall. Arguments: URL, transports (a comma
// list). Prints one JSON object; throws on what should not happen.
import { io } from "socket.io-client";

const [url, transports] = process.argv.slice(2);
const opts = { transports: transports.split(","), reconnectionDelay: 20, reconnectionDelayMax: 50 };
const once = (emitter, event) => new Promise((resolve) => emitter.once(event, (...args) => resolve(args)));
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const result = {};

const refused = io(url, { ...opts, forceNew: true, auth: { refuse: true } });
const [error] = await once(refused, "connect_error");
result.refusal = { message: error.message, data: error.data };
refused.close();

const socket = io(url, { ...opts, auth: { participant: "p1" } });
const upgraded = transports.includes(",") ? once(socket.io.engine, "upgrade") : Promise.resolve();
await once(socket, "connect");

// Many in one go, across the upgrade if there is one.
const acks = [];
const all = [];
for (let i = 0; i < 500; i++) {
  all.push(socket.emitWithAck("echo", { i }).then((back) => acks.push(back.i)));
  if (i % 50 === 0) await sleep(5);
}
await Promise.all(all);
await upgraded;
all.length = 0;
for (let i = 500; i < 1000; i++) all.push(socket.emitWithAck("echo", { i }).then((back) => acks.push(back.i)));
await Promise.all(all);
result.inOrder = acks.length === 1000 && acks.every((n, i) => n === i);
result.transport = socket.io.engine.transport.name;

// Pings and pongs of a page that does nothing.
await sleep(300);
result.stillConnected = socket.connected;

// Sent away with the word that it may come back: it does.
let reason = once(socket, "disconnect");
socket.emit("close", true);
result.comeBackReason = (await reason)[0];
await once(socket, "connect");
result.cameBack = true;

// Told to stay away: it stays.
reason = once(socket, "disconnect");
socket.emit("close", false);
result.stayAwayReason = (await reason)[0];
await sleep(300);
result.stayedAway = !socket.connected && !socket.active;

socket.close();
console.log(JSON.stringify(result));
process.exit(0); // told to stay away amid an upgrade, the client keeps its ping timer
