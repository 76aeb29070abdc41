const { PrismaPg } = require("@prisma/adapter-pg");
const { PrismaClient } = require("@prisma/client");
const { scenario, over } = require("./scenario");

const e = process.env;
const adapter = new PrismaPg({ host: e.PGHOST, port: Number(e.PGPORT), user: e.PGUSER, database: e.PGDATABASE, max: 1 });
const db = new PrismaClient({ adapter });

(async () => {
  await db.$connect();
  await scenario("clean-list", () => db.post.findMany({ include: { author: true }, orderBy: { id: "desc" }, take: 12 }));
  await scenario("clean-get", () => db.post.findUnique({ where: { id: 3 } }));
  await scenario("clean-keyset", () => db.post.findMany({ where: { id: { lt: 50 } }, orderBy: { id: "desc" }, take: 12 }));
  await scenario("clean-bulk", () => db.note.createMany({ data: [...Array(20).keys()].map((n) => ({ body: `bulk ${n}` })) }));
  await scenario("clean-update", () => db.$transaction(async (tx) => {
    const post = await tx.post.findUnique({ where: { id: 3 } });
    await tx.post.update({ where: { id: 3 }, data: { views: post.views + 1 } });
  }));
  await scenario("clean-count", () => db.post.count({ where: { author_id: 3 } }));
  await scenario("clean-exists", () => db.post.findFirst({ where: { author_id: 3 }, select: { id: true } }));
  await scenario("n-plus-one", async () => {
    for (const post of await db.post.findMany({ orderBy: { id: "asc" }, take: 12 }))
      await db.author.findUnique({ where: { id: post.author_id } });
  });
  await scenario("n-plus-one-children", async () => {
    for (const author of await db.author.findMany({ orderBy: { id: "asc" }, take: 8 }))
      await db.post.findMany({ where: { author_id: author.id } });
  });
  await scenario("insert-loop", async () => {
    for (let n = 0; n < 15; n++) await db.note.create({ data: { body: `loop ${n}` } });
  });
  const notes = await db.note.findMany({ orderBy: { id: "asc" }, take: 30 });
  await scenario("update-loop", async () => {
    for (const note of notes.slice(0, 15)) await db.note.update({ where: { id: note.id }, data: { body: note.body + "!" } });
  });
  await scenario("delete-loop", async () => {
    for (const note of notes.slice(15)) await db.note.delete({ where: { id: note.id } });
  });
  await scenario("same-again", async () => {
    for (let n = 0; n < 10; n++) await db.author.findUnique({ where: { id: 1 } });
  });
  await scenario("deep-page", () => db.post.findMany({ orderBy: { id: "asc" }, skip: 2000, take: 10 }));
  await scenario("contains", () => db.post.findMany({ where: { title: { contains: "ore" } }, orderBy: { id: "asc" }, take: 10 }));
  // Prisma has no words for it.
  await scenario("random", () => db.$queryRaw`SELECT id, title FROM post ORDER BY random() LIMIT 5`);
  await scenario("update-all", () => db.note.updateMany({ data: { body: "same" } }));
  await scenario("purge", () => db.note.deleteMany());
  await db.$disconnect();
  over();
})();
