const { Sequelize, DataTypes, Op } = require("sequelize");
const { scenario, over } = require("./scenario");

const e = process.env;
const db = new Sequelize(e.PGDATABASE, e.PGUSER, "", {
  host: e.PGHOST, port: Number(e.PGPORT), dialect: "postgres", logging: false, pool: { max: 1 },
  define: { timestamps: false, freezeTableName: true },
});
const id = { type: DataTypes.BIGINT, primaryKey: true, autoIncrement: true };
const Author = db.define("author", { id, name: DataTypes.TEXT, email: DataTypes.TEXT });
const Post = db.define("post", { id, title: DataTypes.TEXT, views: DataTypes.INTEGER });
const Note = db.define("note", { id, body: DataTypes.TEXT });
Post.belongsTo(Author, { foreignKey: "author_id", as: "author" });
Author.hasMany(Post, { foreignKey: "author_id", as: "posts" });

(async () => {
  await db.authenticate();
  await scenario("clean-list", () => Post.findAll({ include: "author", order: [["id", "DESC"]], limit: 12 }));
  await scenario("clean-get", () => Post.findByPk(3));
  await scenario("clean-keyset", () => Post.findAll({ where: { id: { [Op.lt]: 50 } }, order: [["id", "DESC"]], limit: 12 }));
  await scenario("clean-bulk", () => Note.bulkCreate([...Array(20).keys()].map((n) => ({ body: `bulk ${n}` }))));
  await scenario("clean-update", () => db.transaction(async (transaction) => {
    const post = await Post.findByPk(3, { transaction, lock: true });
    post.views += 1;
    await post.save({ transaction });
  }));
  await scenario("clean-count", () => Post.count({ where: { author_id: 3 } }));
  await scenario("n-plus-one", async () => {
    for (const post of await Post.findAll({ order: ["id"], limit: 12 })) await post.getAuthor();
  });
  await scenario("n-plus-one-children", async () => {
    for (const author of await Author.findAll({ order: ["id"], limit: 8 })) await author.getPosts();
  });
  await scenario("insert-loop", async () => {
    for (let n = 0; n < 15; n++) await Note.create({ body: `loop ${n}` });
  });
  const notes = await Note.findAll({ order: ["id"], limit: 30 });
  await scenario("update-loop", async () => {
    for (const note of notes.slice(0, 15)) await note.update({ body: note.body + "!" });
  });
  await scenario("delete-loop", async () => {
    for (const note of notes.slice(15)) await note.destroy();
  });
  await scenario("same-again", async () => {
    for (let n = 0; n < 10; n++) await Author.findByPk(1);
  });
  await scenario("deep-page", () => Post.findAll({ order: ["id"], offset: 2000, limit: 10 }));
  await scenario("contains", () => Post.findAll({ where: { title: { [Op.like]: "%ore%" } }, order: ["id"], limit: 10 }));
  await scenario("random", () => Post.findAll({ order: db.random(), limit: 5 }));
  await scenario("ignore-case", () => Author.findAll({
    where: db.where(db.fn("lower", db.col("email")), "a7@example.org"), order: ["id"], limit: 5,
  }));
  await scenario("update-all", () => Note.update({ body: "same" }, { where: {} }));
  await scenario("purge", () => Note.destroy({ where: {} }));
  await db.close();
  over();
})();
