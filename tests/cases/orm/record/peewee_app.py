import os

import peewee as pw

from scenario import scenario

e = os.environ
db = pw.PostgresqlDatabase(e["PGDATABASE"], host=e["PGHOST"], port=int(e["PGPORT"]), user=e["PGUSER"])


class Base(pw.Model):
    id = pw.BigAutoField()
    class Meta:
        database = db


class Author(Base):
    name = pw.TextField()
    email = pw.TextField()


class Post(Base):
    author = pw.ForeignKeyField(Author, backref="posts")
    title = pw.TextField()
    views = pw.IntegerField(default=0)


class Note(Base):
    body = pw.TextField()


with scenario("clean-list"):
    [p.author.name for p in Post.select(Post, Author).join(Author).order_by(Post.id.desc()).limit(12)]
with scenario("clean-get"):
    Post.get_by_id(3)
with scenario("clean-keyset"):
    list(Post.select().where(Post.id < 50).order_by(Post.id.desc()).limit(12))
with scenario("clean-bulk"):
    Note.insert_many([{"body": f"bulk {n}"} for n in range(20)]).execute()
with scenario("clean-update"), db.atomic():
    post = Post.select().where(Post.id == 3).for_update().get()
    post.views += 1
    post.save(only=[Post.views])
with scenario("clean-count"):
    Post.select().where(Post.author == 3).count()
with scenario("clean-exists"):
    Post.select().where(Post.author == 3).exists()
with scenario("n-plus-one"):
    [p.author.name for p in Post.select().order_by(Post.id).limit(12)]
with scenario("n-plus-one-children"):
    [[p.title for p in a.posts] for a in Author.select().order_by(Author.id).limit(8)]
with scenario("insert-loop"):
    for n in range(15):
        Note.create(body=f"loop {n}")
notes = list(Note.select().order_by(Note.id).limit(30))
with scenario("update-loop"):
    for note in notes[:15]:
        note.body += "!"
        note.save()
with scenario("delete-loop"):
    for note in notes[15:]:
        note.delete_instance()
with scenario("same-again"):
    for _ in range(10):
        Author.get_by_id(1)
with scenario("deep-page"):
    list(Post.select().order_by(Post.id).offset(2000).limit(10))
with scenario("contains"):
    list(Post.select().where(Post.title.contains("ore")).order_by(Post.id).limit(10))
with scenario("random"):
    list(Post.select().order_by(pw.fn.Random()).limit(5))
with scenario("ignore-case"):
    list(Author.select().where(pw.fn.LOWER(Author.email) == "a7@example.org").order_by(Author.id).limit(5))
with scenario("update-all"):
    Note.update(body="same").execute()
with scenario("purge"):
    Note.delete().execute()
