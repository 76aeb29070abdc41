"""Loads every view of pgweir's page in a real browser and says what is wrong with any.

usage: pages.py URL [DIRECTORY FOR SCREENSHOTS]

Expects traffic of an application with an N+1, a pool that clients wait for, and a client with markup in its name.
"""

import base64
import os
import pathlib
import sys

from chromium import Browser, Failure, Page

VIEWS = ["overview", "pools", "servers", "clients", "locks", "statements", "findings", "audit", "firewall", "mirrors", "config"]
READY = "document.querySelector('#main').dataset.view === location.hash.slice(1) && document.querySelector('#main h1') && !document.querySelector('#main .note.error') && " \
        "document.querySelector('#live').className.includes('on')"


def visit(page, url, view):
    page.open(f"{url}#{view}")
    page.wait(view, f"location.hash === '#{view}' && {READY}")


def check(page, url):
    """Nothing was complained of and nobody else was asked."""
    complaints = page.complaints()
    if complaints:
        raise Failure("the page complains:\n" + "\n".join(complaints))
    elsewhere = [one for one in page.requests() if not one.startswith((url, "about:"))]
    if elsewhere:
        raise Failure(f"the page asks elsewhere: {elsewhere}")


def text(page):
    return page.js("document.body.innerText")


def expect(page, *wanted):
    said = text(page)
    for one in wanted:
        if one.lower() not in said.lower():
            raise Failure(f"{one!r} is not on the page, which says:\n{said}")


def views(browser, url):
    page = Page(browser)
    visit(page, url, "overview")
    page.wait("plots", "document.querySelectorAll('.plot canvas').length === 8")
    page.wait("the pool that waits", "document.querySelector('#wrong')?.innerText.includes('for a server, the first for')")
    page.wait("the costliest finding", "document.querySelector('#wrong')?.innerText.includes('executions of one lookup')")
    expect(page, "waits", "Clients waiting", "Query, 95 %", "median", "Statements that take the most time", "n-plus-one")
    if page.js("document.documentElement.scrollWidth > innerWidth"):
        raise Failure("the overview is wider than the window")
    for key, view in zip("1234567890-", VIEWS, strict=False):
        # By keyboard, as somebody would who knows it.
        page.call("Input.dispatchKeyEvent", type="keyDown", key=key, text=key)
        page.call("Input.dispatchKeyEvent", type="keyUp", key=key)
        page.wait(view, f"location.hash === '#{view}' && {READY}")
    visit(page, url, "pools")
    page.js("document.querySelector('#main td a').click()")
    page.wait("the pool", "document.querySelector('#main h1')?.innerText.startsWith('Pool shop/')")
    expect(page, "How long things took", "Connecting to a server")
    page.wait("its plots", "document.querySelectorAll('.plot canvas').length === 8")
    # A pool has a point each ten seconds, from its second look on.
    page.wait("a point", "[...document.querySelectorAll('.plot')].find(plot => plot.innerText.startsWith('Clients')).querySelector('b').innerText !== '–'")
    page.wait("the lock", "document.querySelector('#wrong').innerText.includes('2 clients wait for locks')")
    page.js("[...document.querySelectorAll('#wrong a')].find(a => a.innerText.includes('locks')).click()")
    page.wait("locks", f"location.hash === '#locks' && {READY} && document.querySelectorAll('#main tbody').length === 2")
    expect(page, "night-batch", "idle in transaction", "public.author", "update author set name = ? where id = ?", "till-1", "till-2")
    if "hush-4711" in text(page):
        raise Failure("a constant is on the page")
    behind = page.js("document.querySelector('#main td.num.bad').innerText")
    if behind != "2":
        raise Failure(f"{behind} wait for who is at the head")
    visit(page, url, "clients")
    # It was sent as the name of an application, and is nothing but text.
    page.wait("the name with markup", "document.querySelector('#main').innerText.includes('<img src=x')")
    if page.js("document.querySelectorAll('#main img').length"):
        raise Failure("an application's name has become markup")
    visit(page, url, "statements")
    expect(page, "server time", "median")
    page.js("document.querySelector('[data-keep=sort-calls]').click()")
    page.wait("another order", "document.querySelector('th[aria-sort]')?.innerText.includes('calls')")
    page.js("document.querySelector('#main td a').click()")
    page.wait("one statement", "document.querySelector('#main').innerText.includes('How long it takes')")
    page.wait("its histogram", "document.querySelectorAll('#main .histogram rect').length > 0")
    visit(page, url, "findings")
    page.js("[...document.querySelectorAll('#main td a')].find(a => a.innerText.includes('n-plus-one')).click()")
    page.wait("the N+1", "document.querySelector('#main').innerText.includes('What to do')")
    expect(page, "statements one after the other", "It follows", "lint:ignore=n-plus-one", "Evidence")
    page.js("history.back()")
    page.wait("findings", f"location.hash === '#findings' && {READY}")
    page.js("[...document.querySelectorAll('#main td a')].find(a => a.innerText.includes('leading-wildcard-like')).click()")
    page.wait("the place", "document.querySelector('#main pre mark')?.innerText === 'name'")
    visit(page, url, "mirrors")
    page.wait("the mirror", "document.querySelector('#main table')?.innerText.includes('played to next')")
    page.wait("a difference", "/0 rows, and 1 on the mirror/.test(document.querySelector('#main table').innerText)")
    page.js("document.querySelector('#main td a').click()")
    page.wait("its statement", "document.querySelector('#main pre')?.innerText.includes('select id from only_there')")
    visit(page, url, "config")
    expect(page, "http_listen", "changed")
    check(page, url)


def operator(browser, url):
    """Somebody who has logged in sees the audit trail and acknowledges a finding."""
    page = Page(browser)
    visit(page, url, "audit")
    expect(page, "Log in")
    login(page)
    visit(page, url, "overview")
    page.wait("the operator", "document.querySelector('#session').innerText.includes('operator')")
    visit(page, url, "audit")
    page.wait("the trail", "document.querySelector('#main table')?.innerText.includes('select id, name from author')")
    trail(page)
    visit(page, url, "findings")
    page.js("[...document.querySelectorAll('#main td a')].find(a => a.innerText.includes('n-plus-one')).click()")
    page.wait("the N+1", "document.querySelector('#main').innerText.includes('Acknowledge')")
    page.js("window.confirm = () => true; window.prompt = () => 'it is <b>known</b>';"
            "[...document.querySelectorAll('#main button')].find(b => b.innerText.includes('Acknowledge')).click()")
    page.wait("the acknowledgement", "document.querySelector('#main').innerText.includes('acknowledged: it is <b>known</b>')")
    visit(page, url, "audit")
    page.wait("the command in the trail", "document.querySelector('#main table')?.innerText.includes('ACK')")
    check(page, url)


def trail(page):
    """The filters of the audit trail leave what they say, and say so where that is nothing."""
    def only(field, value):
        page.js(f"(input => {{ input.value = {value!r}; input.dispatchEvent(new Event('change')); }})"
                f"(document.querySelector('[data-keep=only-{field}]'))")

    apps = "[...document.querySelectorAll('#main tbody tr')].map(row => row.children[2].innerText.split('\\n')[0])"
    only("app", "shop-*")
    page.wait("one application", f"(apps => apps.length > 0 && apps.every(app => app === 'shop-web'))({apps})")
    only("event", "login")
    page.wait("its logins", "(rows => rows.length > 0 && rows.every(row => row.children[1].innerText === 'login'))"
                            "([...document.querySelectorAll('#main tbody tr')])")
    only("event", "nothing")
    page.wait("none", "document.querySelector('#main .note')?.innerText.includes('No lines')")
    only("event", "")
    only("app", "")


def login(page):
    """As a browser does that was told name and password."""
    shown = base64.b64encode(os.environ["PGWEIR_OPERATOR"].encode()).decode()
    page.call("Network.setExtraHTTPHeaders", headers={"Authorization": f"Basic {shown}"})
    page.open("about:blank")
    page.wait("an empty page", "location.href === 'about:blank'")


def phone(browser, url):
    page = Page(browser, width=390, height=844, dark=True, phone=True)
    for view in VIEWS:
        visit(page, url, view)
        if page.js("document.documentElement.scrollWidth > innerWidth"):
            raise Failure(f"{view} is wider than a phone")
    check(page, url)


def pictures(browser, url, directory):
    directory.mkdir(parents=True, exist_ok=True)
    wide = {"width": 1400, "height": 900}
    light = Page(browser, **wide)

    def take(name, seconds=1):
        browser.listen(seconds)
        light.picture(directory / f"{name}.png")

    def follow(view, what, wanted):
        visit(light, url, view)
        light.js(f"[...document.querySelectorAll('#main td a')].find(a => {what}).click()")
        light.wait(wanted, f"document.querySelector('#main').innerText.includes({wanted!r})")

    for view in VIEWS:
        if view != "audit":
            visit(light, url, view)
            take(view, 3)
    follow("findings", "a.innerText.includes('n-plus-one')", "What to do")
    take("finding")
    follow("pools", "a.hash === '#pools/shop/shop'", "How long things took")
    take("pool")
    follow("statements", "a.innerText.includes('like')", "How long it takes")
    take("statement")
    # Before other tabs are in front of it.
    login(light)
    visit(light, url, "audit")
    take("audit", 3)
    for view in ["overview", "locks"]:
        dark = Page(browser, dark=True, **wide)
        visit(dark, url, view)
        browser.listen(3)
        dark.picture(directory / f"{view}-dark.png")
    for name, view in [("phone", "overview"), ("phone-locks", "locks")]:
        phone = Page(browser, width=390, height=844, phone=True)
        visit(phone, url, view)
        browser.listen(2)
        phone.picture(directory / f"{name}.png", whole=False)


def main():
    url = sys.argv[1].rstrip("/") + "/"
    with Browser() as browser:
        if len(sys.argv) > 2:
            pictures(browser, url, pathlib.Path(sys.argv[2]))
        else:
            views(browser, url)
            phone(browser, url)
            operator(browser, url)
    print("ok")


if __name__ == "__main__":
    try:
        main()
    except Failure as failure:
        sys.exit(f"{failure}")
