"""A headless Chromium, spoken to over a pair of pipes in the DevTools protocol. Needs nothing but Python."""

import base64
import json
import os
import select
import shutil
import subprocess
import tempfile
import time

NAMES = ["chromium", "chromium-browser", "google-chrome", "chrome"]
# A page that is not ready by then is a failure, in seconds; the variable is a factor for slow machines.
PATIENCE = 30 * float(os.environ.get("PGWEIR_TEST_PATIENCE", "1"))


class Failure(Exception):
    """Something that the browser said or did not say."""


class Browser:
    """One browser with a profile of its own; closed at the end of `with`."""

    def __enter__(self):
        program = next((path for path in map(shutil.which, NAMES) if path), None)
        if program is None:
            raise Failure("no Chromium is installed: apt-get install chromium")
        self.profile = tempfile.TemporaryDirectory(prefix="pgweir-chromium-")
        theirs_in, self.out = os.pipe()
        self.inp, theirs_out = os.pipe()
        # The protocol wants descriptors 3 and 4.
        command = ["bash", "-c", f'exec "$@" 3<&{theirs_in} 4>&{theirs_out}', "bash", program]
        command += ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars",
                    "--no-first-run", "--disable-extensions", "--disable-background-networking", "--disable-sync",
                    "--disable-component-update", "--force-color-profile=srgb", "--remote-debugging-pipe",
                    f"--user-data-dir={self.profile.name}", "about:blank"]
        self.process = subprocess.Popen(command, pass_fds=(theirs_in, theirs_out), stdin=subprocess.DEVNULL,
                                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        os.close(theirs_in)
        os.close(theirs_out)
        self.buffer = b""
        self.number = 0
        self.events = []
        return self

    def __exit__(self, *_):
        try:
            self.call("Browser.close")
        except (Failure, OSError):
            self.process.kill()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        os.close(self.out)
        os.close(self.inp)
        for _ in range(20):
            try:
                self.profile.cleanup()
                return
            except OSError:
                time.sleep(0.1)

    def message(self, until):
        """The next message; None if there is none until then."""
        while b"\0" not in self.buffer:
            left = until - time.monotonic()
            if left <= 0 or not select.select([self.inp], [], [], left)[0]:
                return None
            got = os.read(self.inp, 1 << 20)
            if not got:
                raise Failure("Chromium has ended")
            self.buffer += got
        text, self.buffer = self.buffer.split(b"\0", 1)
        return json.loads(text)

    def call(self, method, session=None, **parameters):
        """Calls a method and returns its result."""
        self.number += 1
        request = {"id": self.number, "method": method, "params": parameters}
        if session:
            request["sessionId"] = session
        os.write(self.out, json.dumps(request).encode() + b"\0")
        until = time.monotonic() + PATIENCE
        while True:
            answer = self.message(until)
            if answer is None:
                raise Failure(f"{method}: no answer")
            if answer.get("id") == self.number:
                if "error" in answer:
                    raise Failure(f"{method}: {answer['error']}")
                return answer["result"]
            if "method" in answer:
                self.events.append(answer)

    def listen(self, seconds):
        """Takes what comes for so long."""
        until = time.monotonic() + seconds
        while (answer := self.message(until)) is not None:
            if "method" in answer:
                self.events.append(answer)


class Page:
    """One tab, with everything that it complained about and asked for."""

    def __init__(self, browser, width=1280, height=900, dark=False, phone=False):
        self.browser = browser
        target = browser.call("Target.createTarget", url="about:blank")["targetId"]
        self.session = browser.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ["Page", "Runtime", "Log", "Network"]:
            self.call(f"{domain}.enable")
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height,
                  deviceScaleFactor=2 if phone else 1, mobile=phone)
        theme = "dark" if dark else "light"
        self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": theme}])

    def call(self, method, **parameters):
        return self.browser.call(method, self.session, **parameters)

    def js(self, expression):
        """The value of an expression in the page."""
        result = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in result:
            raise Failure(f"{expression}: {result['exceptionDetails']}")
        return result["result"].get("value")

    def open(self, url):
        self.call("Page.navigate", url=url)

    def wait(self, what, expression):
        """Waits until an expression is true."""
        until = time.monotonic() + PATIENCE
        while True:
            try:
                if self.js(expression):
                    return
            except Failure:
                # The page is being changed.
                pass
            if time.monotonic() > until:
                text = self.js("document.body.innerText")
                raise Failure(f"{what} did not come; the page says:\n{text}")
            self.browser.listen(0.1)

    def complaints(self):
        """Errors and warnings of the page, and requests that went elsewhere than `base`."""
        found = []
        for event in self.browser.events:
            if event.get("sessionId") != self.session:
                continue
            method, told = event["method"], event["params"]
            if method == "Runtime.exceptionThrown":
                details = told["exceptionDetails"]
                found.append(details.get("exception", {}).get("description") or details["text"])
            elif method == "Runtime.consoleAPICalled" and told["type"] in ("error", "warning", "assert"):
                found.append(" ".join(str(one.get("value", one.get("description"))) for one in told["args"]))
            elif method == "Log.entryAdded" and told["entry"]["level"] in ("error", "warning"):
                found.append(f"{told['entry']['text']} ({told['entry'].get('url')})")
            elif method == "Page.javascriptDialogOpening":
                found.append(f"a dialog: {told['message']}")
        return found

    def requests(self):
        """The addresses that it asked for."""
        return [event["params"]["request"]["url"] for event in self.browser.events
                if event.get("sessionId") == self.session and event["method"] == "Network.requestWillBeSent"]

    def picture(self, path, whole=True):
        """Writes a screenshot: of the whole page, or of what is seen at once."""
        parameters = {"format": "png"}
        if whole:
            size = self.call("Page.getLayoutMetrics")["cssContentSize"]
            parameters["clip"] = {"x": 0, "y": 0, "width": size["width"], "height": min(size["height"], 2200), "scale": 1}
            parameters["captureBeyondViewport"] = True
        data = self.call("Page.captureScreenshot", **parameters)["data"]
        with open(path, "wb") as file:
            file.write(base64.b64decode(data))
