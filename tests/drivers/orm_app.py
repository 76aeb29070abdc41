"""A small application with an ORM and the mistake that ORMs make easy: a page lists posts and shows
each post's author, which the ORM loads one by one. It also has a page without the mistake.

orm_app.py django|sqlalchemy

Connects by DRIVER_HOST, DRIVER_PORT, DRIVER_DATABASE, DRIVER_USER, DRIVER_PASSWORD; makes its
tables, fills them and requests its pages a few times. Prints one line when all is well.
"""

import os
import sys
import time

POSTS = 12


def settings():
    names = ["host", "port", "database", "user", "password"]
    return {name: os.environ["DRIVER_" + name.upper()] for name in names}


def django_app():
    import django
    from django.conf import settings as conf

    c = settings()
    database = {
        "ENGINE": "django.db.backends.postgresql",
        "HOST": c["host"],
        "PORT": c["port"],
        "NAME": c["database"],
        "USER": c["user"],
        "PASSWORD": c["password"],
        "OPTIONS": {"application_name": "django-blog"},
        "DISABLE_SERVER_SIDE_CURSORS": True,
    }
    conf.configure(DATABASES={"default": database}, DEFAULT_AUTO_FIELD="django.db.models.BigAutoField")
    django.setup()
    from django.db import connection, models

    class Author(models.Model):
        name = models.TextField()

        class Meta:
            app_label = "blog"

    class Post(models.Model):
        title = models.TextField()
        author = models.ForeignKey(Author, on_delete=models.CASCADE)

        class Meta:
            app_label = "blog"

    with connection.schema_editor() as editor:
        editor.create_model(Author)
        editor.create_model(Post)
    # Not the posts' own numbers, so that only one column of theirs explains the lookups.
    authors = Author.objects.bulk_create(Author(id=500 + n, name=f"author {n}") for n in range(POSTS))
    Post.objects.bulk_create(Post(title=f"post {n}", author=authors[n]) for n in range(POSTS))

    def careless():
        return [f"{post.title} by {post.author.name}" for post in Post.objects.order_by("id")]

    def careful():
        posts = Post.objects.select_related("author").order_by("id")
        return [f"{post.title} by {post.author.name}" for post in posts]

    return careless, careful


def sqlalchemy_app():
    import sqlalchemy as sa
    from sqlalchemy import orm

    c = settings()
    engine = sa.create_engine(
        sa.URL.create(
            "postgresql+psycopg",
            username=c["user"],
            password=c["password"],
            host=c["host"],
            port=int(c["port"]),
            database=c["database"],
            query={"application_name": "sqlalchemy-blog"},
        )
    )

    class Base(orm.DeclarativeBase):
        pass

    class Author(Base):
        __tablename__ = "sa_author"
        id: orm.Mapped[int] = orm.mapped_column(sa.BigInteger, primary_key=True)
        name: orm.Mapped[str]

    class Post(Base):
        __tablename__ = "sa_post"
        id: orm.Mapped[int] = orm.mapped_column(sa.BigInteger, primary_key=True)
        title: orm.Mapped[str]
        author_id: orm.Mapped[int] = orm.mapped_column(sa.ForeignKey("sa_author.id"))
        author: orm.Mapped[Author] = orm.relationship()

    Base.metadata.create_all(engine)
    with orm.Session(engine) as session:
        session.add_all(Author(id=500 + n, name=f"author {n}") for n in range(POSTS))
        session.flush()
        session.add_all(Post(title=f"post {n}", author_id=500 + n) for n in range(POSTS))
        session.commit()

    def page(*options):
        with orm.Session(engine) as session:
            posts = session.scalars(sa.select(Post).options(*options).order_by(Post.id))
            return [f"{post.title} by {post.author.name}" for post in posts]

    return page, lambda: page(orm.joinedload(Post.author))


def main():
    careless, careful = {"django": django_app, "sqlalchemy": sqlalchemy_app}[sys.argv[1]]()
    expected = [f"post {n} by author {n}" for n in range(POSTS)]
    for page in [careful, careless, careless, careless]:
        assert page() == expected, page()
        # A user reads the page.
        time.sleep(2.5)
    print(f"{sys.argv[1]}: 4 pages, checks passed")


main()
