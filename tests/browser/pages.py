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
    visit(page, url, "findings")
    page.js("[...document.querySelectorAll('#main td a')].find(a => a.innerText.includes('n-plus-one')).click()")
    page.wait("the N+1", "document.querySelector('#main').innerText.includes('Acknowledge')")
    page.js("window.confirm = () => true; window.prompt = () => 'it is <b>known</b>';"
            "[...document.querySelectorAll('#main button')].find(b => b.innerText.includes('Acknowledge')).click()")
    page.wait("the acknowledgement", "document.querySelector('#main').innerText.includes('acknowledged: it is <b>known</b>')")
    visit(page, url, "audit")
    page.wait("the command in the trail", "document.querySelector('#main table')?.innerText.includes('ACK')")
    check(page, url)


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
    light = Page(browser, width=1280, height=860)
    for view in VIEWS:
        if view == "audit":
            continue
        visit(light, url, view)
        browser.listen(3)
        light.picture(directory / f"{view}.png")
    visit(light, url, "findings")
    light.js("[...document.querySelectorAll('#main td a')].find(a => a.innerText.includes('n-plus-one')).click()")
    light.wait("the N+1", "document.querySelector('#main').innerText.includes('What to do')")
    browser.listen(1)
    light.picture(directory / "finding.png")
    visit(light, url, "pools")
    light.js("document.querySelector('#main td a[href=\"#pools/shop/shop\"]').click()")
    light.wait("the pool", "document.querySelector('#main h1')?.innerText.startsWith('Pool ')")
    browser.listen(1)
    light.picture(directory / "pool.png")
    visit(light, url, "statements")
    light.js("document.querySelector('#main td a').click()")
    light.wait("one statement", "document.querySelector('#main').innerText.includes('How long it takes')")
    light.picture(directory / "statement.png")
    login(light)
    visit(light, url, "audit")
    browser.listen(3)
    light.picture(directory / "audit.png")
    dark = Page(browser, width=1280, height=860, dark=True)
    visit(dark, url, "overview")
    browser.listen(3)
    dark.picture(directory / "overview-dark.png")
    phone = Page(browser, width=390, height=844, phone=True)
    visit(phone, url, "overview")
    browser.listen(2)
    phone.picture(directory / "phone.png", whole=False)


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
