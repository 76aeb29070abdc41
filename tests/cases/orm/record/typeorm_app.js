require("reflect-metadata");
const { DataSource, EntitySchema, LessThan, Like } = require("typeorm");
const { scenario, over } = require("./scenario");

const id = { type: "bigint", primary: true, generated: true };
const Author = new EntitySchema({
  name: "author", columns: { id, name: { type: "text" }, email: { type: "text" } },
  relations: { posts: { type: "one-to-many", target: "post", inverseSide: "author" } },
});
const Post = new EntitySchema({
  name: "post", columns: { id, title: { type: "text" }, views: { type: "int" }, author_id: { type: "bigint" } },
  relations: { author: { type: "many-to-one", target: "author", joinColumn: { name: "author_id" }, inverseSide: "posts" } },
});
const Note = new EntitySchema({ name: "note", columns: { id, body: { type: "text" } } });
const e = process.env;
const db = new DataSource({
  type: "postgres", host: e.PGHOST, port: Number(e.PGPORT), username: e.PGUSER, database: e.PGDATABASE,
  entities: [Author, Post, Note], poolSize: 1,
});

(async () => {
  await db.initialize();
  const [authors, posts, notes] = [Author, Post, Note].map((entity) => db.getRepository(entity));
  await scenario("clean-list", () => posts.find({ relations: { author: true }, order: { id: "DESC" }, take: 12 }));
  await scenario("clean-get", () => posts.findOneBy({ id: 3 }));
  await scenario("clean-keyset", () => posts.find({ where: { id: LessThan(50) }, order: { id: "DESC" }, take: 12 }));
  await scenario("clean-bulk", () => notes.insert([...Array(20).keys()].map((n) => ({ body: `bulk ${n}` }))));
  await scenario("clean-update", () => db.transaction(async (manager) => {
    const post = await manager.findOne("post", { where: { id: 3 }, lock: { mode: "pessimistic_write" } });
    post.views += 1;
    await manager.update("post", { id: 3 }, { views: post.views });
  }));
  await scenario("clean-count", () => posts.countBy({ author_id: 3 }));
  await scenario("clean-exists", () => posts.existsBy({ author_id: 3 }));
  await scenario("n-plus-one", async () => {
    for (const post of await posts.find({ order: { id: "ASC" }, take: 12 })) await authors.findOneBy({ id: post.author_id });
  });
  await scenario("n-plus-one-children", async () => {
    for (const author of await authors.find({ order: { id: "ASC" }, take: 8 })) await posts.findBy({ author_id: author.id });
  });
  await scenario("insert-loop", async () => {
    for (let n = 0; n < 15; n++) await notes.insert({ body: `loop ${n}` });
  });
  const some = await notes.find({ order: { id: "ASC" }, take: 30 });
  await scenario("update-loop", async () => {
    for (const note of some.slice(0, 15)) await notes.update({ id: note.id }, { body: note.body + "!" });
  });
  await scenario("delete-loop", async () => {
    for (const note of some.slice(15)) await notes.delete({ id: note.id });
  });
  await scenario("same-again", async () => {
    for (let n = 0; n < 10; n++) await authors.findOneBy({ id: 1 });
  });
  await scenario("deep-page", () => posts.find({ order: { id: "ASC" }, skip: 2000, take: 10 }));
  await scenario("contains", () => posts.find({ where: { title: Like("%ore%") }, order: { id: "ASC" }, take: 10 }));
  await scenario("random", () => posts.createQueryBuilder("post").orderBy("random()").limit(5).getMany());
  await scenario("ignore-case", () => authors.createQueryBuilder("a").where("lower(a.email) = :email", { email: "a7@example.org" }).orderBy("a.id").limit(5).getMany());
  await scenario("update-all", () => notes.createQueryBuilder().update().set({ body: "same" }).execute());
  await scenario("purge", () => notes.createQueryBuilder().delete().execute());
  await db.destroy();
  over();
})();
