import os

import django
from django.conf import settings

settings.configure(
    DATABASES={
        "default": {
            "ENGINE": "django.db.backends.postgresql",
            "HOST": os.environ["PGHOST"], "PORT": os.environ["PGPORT"],
            "NAME": os.environ["PGDATABASE"], "USER": os.environ["PGUSER"],
        }
    },
    DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
)
django.setup()
from django.db import models, transaction

from scenario import scenario


class Author(models.Model):
    name = models.TextField()
    email = models.TextField()
    class Meta: app_label, db_table = "blog", "author"


class Post(models.Model):
    author = models.ForeignKey(Author, models.CASCADE)
    title = models.TextField()
    views = models.IntegerField(default=0)
    class Meta: app_label, db_table = "blog", "post"


class Note(models.Model):
    body = models.TextField()
    class Meta: app_label, db_table = "blog", "note"


with scenario("clean-list"):
    for post in Post.objects.select_related("author").order_by("-id")[:12]:
        post.author.name
with scenario("clean-get"):
    Post.objects.get(pk=3)
with scenario("clean-keyset"):
    list(Post.objects.filter(id__lt=50).order_by("-id")[:12])
with scenario("clean-bulk"):
    Note.objects.bulk_create([Note(body=f"bulk {n}") for n in range(20)])
with scenario("clean-update"), transaction.atomic():
    post = Post.objects.select_for_update().get(pk=3)
    post.views += 1
    post.save(update_fields=["views"])
with scenario("clean-count"):
    Post.objects.filter(author_id=3).count()
with scenario("clean-exists"):
    Post.objects.filter(author_id=3).exists()
with scenario("n-plus-one"):
    for post in Post.objects.order_by("id")[:12]:
        post.author.name
with scenario("n-plus-one-children"):
    for author in Author.objects.order_by("id")[:8]:
        [post.title for post in author.post_set.all()]
with scenario("insert-loop"):
    for n in range(15):
        Note(body=f"loop {n}").save()
notes = list(Note.objects.order_by("id")[:30])
with scenario("update-loop"):
    for note in notes[:15]:
        note.body += "!"
        note.save()
with scenario("delete-loop"):
    for note in notes[15:]:
        note.delete()
with scenario("same-again"):
    for _ in range(10):
        Author.objects.get(pk=1)
with scenario("deep-page"):
    list(Post.objects.order_by("id")[2000:2010])
with scenario("contains"):
    list(Post.objects.filter(title__contains="ore").order_by("id")[:10])
with scenario("random"):
    list(Post.objects.order_by("?")[:5])
with scenario("ignore-case"):
    list(Author.objects.filter(email__iexact="A7@example.org").order_by("id")[:5])
with scenario("update-all"):
    Note.objects.update(body="same")
with scenario("purge"):
    Note.objects.all().delete()
