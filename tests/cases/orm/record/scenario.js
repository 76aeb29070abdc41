// Tells the recorder which scenario is played.
const net = require("net");
const readline = require("readline");

const control = net.connect(Number(process.env.RECORDER), "127.0.0.1");
const lines = readline.createInterface({ input: control })[Symbol.asyncIterator]();

async function say(what) {
  control.write(JSON.stringify(what) + "\n");
  await lines.next();
}

exports.scenario = async (name, work) => {
  await say({ begin: name });
  await work();
  await say({ end: true });
};
exports.over = () => control.destroy();
