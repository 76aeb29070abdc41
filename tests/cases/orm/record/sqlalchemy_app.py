import os

from sqlalchemy import BigInteger, ForeignKey, create_engine, delete, func, select, text, update
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, relationship, selectinload

from scenario import scenario

e = os.environ
engine = create_engine(f"postgresql+psycopg://{e['PGUSER']}@{e['PGHOST']}:{e['PGPORT']}/{e['PGDATABASE']}")


class Base(DeclarativeBase):
    pass


class Author(Base):
    __tablename__ = "author"
    id: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    name: Mapped[str]
    email: Mapped[str]
    posts: Mapped[list["Post"]] = relationship(back_populates="author")


class Post(Base):
    __tablename__ = "post"
    id: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    author_id: Mapped[int] = mapped_column(ForeignKey("author.id"))
    title: Mapped[str]
    views: Mapped[int] = mapped_column(default=0)
    author: Mapped[Author] = relationship(back_populates="posts")


class Note(Base):
    __tablename__ = "note"
    id: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    body: Mapped[str]


def page(name, work):
    with scenario(name), Session(engine) as session:
        work(session)


page("clean-list", lambda s: [p.author.name for p in s.scalars(select(Post).options(selectinload(Post.author)).order_by(Post.id.desc()).limit(12))])
page("clean-get", lambda s: s.get(Post, 3))
page("clean-keyset", lambda s: s.scalars(select(Post).where(Post.id < 50).order_by(Post.id.desc()).limit(12)).all())
page("clean-bulk", lambda s: (s.add_all([Note(body=f"bulk {n}") for n in range(20)]), s.commit()))


def one_update(s):
    post = s.get(Post, 3, with_for_update=True)
    post.views += 1
    s.commit()


page("clean-update", one_update)
page("clean-count", lambda s: s.scalar(select(func.count()).select_from(Post).where(Post.author_id == 3)))
page("clean-exists", lambda s: s.scalar(select(select(Post.id).where(Post.author_id == 3).exists())))
page("n-plus-one", lambda s: [p.author.name for p in s.scalars(select(Post).order_by(Post.id).limit(12))])
page("n-plus-one-children", lambda s: [len(a.posts) for a in s.scalars(select(Author).order_by(Author.id).limit(8))])


def inserts(s):
    for n in range(15):
        s.add(Note(body=f"loop {n}"))
        s.commit()


page("insert-loop", inserts)


def updates(s):
    notes = s.scalars(select(Note).order_by(Note.id).limit(15)).all()
    for note in notes:
        note.body += "!"
        s.flush()
    s.commit()


page("update-loop", updates)


def deletes(s):
    for note in s.scalars(select(Note).order_by(Note.id).limit(15)).all():
        s.delete(note)
        s.flush()
    s.commit()


page("delete-loop", deletes)


def again(s):
    for _ in range(10):
        s.expunge_all()
        s.get(Author, 1)


page("same-again", again)
page("deep-page", lambda s: s.scalars(select(Post).order_by(Post.id).offset(2000).limit(10)).all())
page("contains", lambda s: s.scalars(select(Post).where(Post.title.contains("ore")).order_by(Post.id).limit(10)).all())
page("random", lambda s: s.scalars(select(Post).order_by(func.random()).limit(5)).all())
page("ignore-case", lambda s: s.scalars(select(Author).where(func.lower(Author.email) == "a7@example.org").order_by(Author.id).limit(5)).all())
page("update-all", lambda s: (s.execute(update(Note).values(body="same")), s.commit()))
page("purge", lambda s: (s.execute(delete(Note)), s.commit()))
