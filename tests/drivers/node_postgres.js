// node-postgres: everything that an application may do, with many clients over few servers.
'use strict';

const { Client, Pool } = require('pg');

const mode = process.env.DRIVER_MODE || 'direct';
const parameters = {
  host: process.env.DRIVER_HOST || '127.0.0.1',
  port: Number(process.env.DRIVER_PORT),
  database: process.env.DRIVER_DATABASE,
  user: process.env.DRIVER_USER,
  password: process.env.DRIVER_PASSWORD,
  connectionTimeoutMillis: 20000,
};
const CLIENTS = 24;
let passed = 0;

function check(condition, what) {
  if (!condition) throw new Error(`failed: ${what}`);
  passed += 1;
}

function same(got, expected, what) {
  const [a, b] = [JSON.stringify(got), JSON.stringify(expected)];
  check(a === b, `${what}: got ${a}, expected ${b}`);
}

async function withClient(use, more = {}) {
  const client = new Client({ ...parameters, ...more });
  await client.connect();
  try {
    return await use(client);
  } finally {
    await client.end();
  }
}

async function fails(promise, state, what) {
  try {
    await promise;
  } catch (error) {
    same(error.code, state, what);
    return;
  }
  check(false, `${what} did not fail`);
}

const value = async (client, text, values) => Object.values((await client.query(text, values)).rows[0])[0];

const parts = {
  async simpleAndExtended() {
    await withClient(async (c) => {
      same(await value(c, 'SELECT 1'), 1, 'simple query');
      same(await value(c, 'SELECT $1::int + 1', [41]), 42, 'extended query');
      const results = await c.query('SELECT 1 AS a; SELECT 2 AS a');
      same(results.map((r) => r.rows[0].a), [1, 2], 'several statements');
      same((await c.query('')).rows, [], 'empty query');
      same(await value(c, 'SELECT $1::text', ['zwölf']), 'zwölf', 'text');
    });
  },

  async preparedStatements() {
    const clients = [];
    for (let n = 0; n < CLIENTS; n++) {
      const client = new Client(parameters);
      await client.connect();
      clients.push(client);
    }
    for (let round = 0; round < 5; round++) {
      // The same name with another text on every second client.
      const answers = await Promise.all(clients.map((c, n) => c.query({
        name: 'shared',
        text: n % 2 ? 'SELECT $1::int * 2 AS v' : 'SELECT $1::int * 3 AS v',
        values: [n + round],
      })));
      same(answers.map((r) => r.rows[0].v), clients.map((_, n) => (n + round) * (n % 2 ? 2 : 3)), 'named statements');
    }
    for (const client of clients) await client.end();
  },

  async transactions() {
    await withClient(async (c) => {
      await c.query('BEGIN');
      await c.query('INSERT INTO n_tx VALUES ($1)', [1]);
      await c.query('SAVEPOINT s');
      await fails(c.query('INSERT INTO n_tx VALUES ($1)', [1]), '23505', 'a duplicate');
      await fails(c.query('SELECT 1'), '25P02', 'an aborted transaction');
      await c.query('ROLLBACK TO s');
      await c.query('COMMIT');
      same(await value(c, 'SELECT count(*)::int FROM n_tx'), 1, 'what was committed');
    });
  },

  async errors() {
    await withClient(async (c) => {
      for (const [text, state] of [['SELECT 1/0', '22012'], ['SELEC', '42601'], ['SELECT * FROM nowhere', '42P01']]) {
        await fails(c.query(text), state, text);
        await fails(c.query({ text, values: [], queryMode: 'extended' }), state, `${text}, extended`);
      }
      await fails(c.query('SELECT $1::int', ['x']), '22P02', 'a bad parameter');
      same(await value(c, 'SELECT 1'), 1, 'after errors');
    });
  },

  async queuedQueries() {
    await withClient(async (c) => {
      const answers = await Promise.all(Array.from({ length: 200 }, (_, n) => value(c, 'SELECT $1::int', [n])));
      same(answers, Array.from({ length: 200 }, (_, n) => n), 'queries queued at once');
    });
  },

  async notifications() {
    await withClient(async (listener) => {
      const heard = [];
      const all = new Promise((resolve) => {
        listener.on('notification', (note) => {
          heard.push(note.payload);
          if (heard.length === 3) resolve();
        });
      });
      await listener.query('LISTEN n_news');
      await withClient(async (teller) => {
        for (let n = 0; n < 3; n++) await teller.query("SELECT pg_notify('n_news', $1)", [`number ${n}`]);
      });
      let timer;
      await Promise.race([all, new Promise((resolve) => { timer = setTimeout(resolve, 20000); })]);
      clearTimeout(timer);
      same(heard, ['number 0', 'number 1', 'number 2'], 'notifications');
    });
  },

  async notices() {
    await withClient(async (c) => {
      const heard = [];
      c.on('notice', (notice) => heard.push(notice.message));
      await c.query("DO $$ BEGIN RAISE NOTICE 'take note'; END $$");
      same(heard, ['take note'], 'notice');
    });
  },

  async cancel() {
    await withClient(async (c) => {
      const running = fails(c.query('SELECT pg_sleep(60)'), '57014', 'a cancelled query');
      await new Promise((resolve) => setTimeout(resolve, 700));
      await new Promise((resolve, reject) => {
        const socket = require('net').connect(parameters.port, parameters.host, () => {
          const packet = Buffer.alloc(16);
          packet.writeInt32BE(16, 0);
          packet.writeInt32BE(80877102, 4);
          packet.writeInt32BE(c.processID, 8);
          packet.writeInt32BE(c.secretKey, 12);
          socket.end(packet);
        });
        socket.on('close', resolve);
        socket.on('error', reject);
      });
      await running;
      same(await value(c, 'SELECT 1'), 1, 'after a cancel');
    });
  },

  async largeValues() {
    await withClient(async (c) => {
      const big = '0123456789'.repeat(1000000);
      check((await value(c, 'SELECT $1::text', [big])) === big, 'large value there and back');
      same((await c.query('SELECT generate_series(1, 100000)')).rowCount, 100000, 'many rows');
    });
  },

  async settings() {
    const clients = [];
    for (let n = 0; n < CLIENTS; n++) {
      const client = new Client({ ...parameters, application_name: `born ${n}` });
      await client.connect();
      clients.push(client);
    }
    const names = () => Promise.all(clients.map((c) => value(c, 'SHOW application_name')));
    for (let round = 0; round < 3; round++) {
      same(await names(), clients.map((_, n) => `born ${n}`), 'application_name from the start');
    }
    await Promise.all(clients.map((c, n) => c.query(`SET application_name = 'client ${n}'`)));
    for (let round = 0; round < 3; round++) {
      same(await names(), clients.map((_, n) => `client ${n}`), 'application_name set');
    }
    await Promise.all(clients.map((c) => c.query('RESET application_name')));
    same(await names(), clients.map((_, n) => `born ${n}`), 'application_name reset');
    for (const client of clients) await client.end();
    await withClient(async (c) => {
      same(await value(c, 'SHOW statement_timeout'), '12345ms', 'statement_timeout from the start');
    }, { statement_timeout: 12345 });
  },

  async concurrentClients() {
    const pool = new Pool({ ...parameters, max: CLIENTS });
    await Promise.all(Array.from({ length: CLIENTS * 2 }, async (_, n) => {
      for (let i = 0; i < 10; i++) {
        const client = await pool.connect();
        try {
          same(await value(client, 'SELECT $1::int * 1000 + $2::int', [n, i]), n * 1000 + i, 'own answer');
          await client.query('BEGIN');
          await client.query('UPDATE n_counter SET n = n + 1');
          await client.query('COMMIT');
        } finally {
          client.release();
        }
      }
    }));
    same(await value(pool, 'SELECT n FROM n_counter'), CLIENTS * 20, 'updates of concurrent clients');
    await pool.end();
  },
};

const tables = { n_tx: '(id int PRIMARY KEY)', n_counter: 'AS SELECT 0 AS n' };

async function main() {
  await withClient(async (c) => {
    for (const [table, rest] of Object.entries(tables)) {
      await c.query(`DROP TABLE IF EXISTS ${table}`);
      await c.query(`CREATE TABLE ${table} ${rest}`);
    }
  });
  for (const [name, part] of Object.entries(parts)) {
    try {
      await part();
    } catch (error) {
      throw new Error(`${name}: ${error.message} (${error.code || 'no SQLSTATE'})`);
    }
  }
  await withClient(async (c) => {
    for (const table of Object.keys(tables)) await c.query(`DROP TABLE ${table}`);
  });
}

main().then(
  () => console.log(`node-postgres ${require('pg/package.json').version}: ${passed} checks passed`),
  (error) => {
    console.error(`node-postgres, ${mode}: ${error.message}`);
    process.exit(1);
  },
);
