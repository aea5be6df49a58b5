"""A page of Dagster's UI as a person uses it: by the texts it shows."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from selenium.common.exceptions import (
    ElementClickInterceptedException,
    StaleElementReferenceException,
    TimeoutException,
)
from selenium.webdriver import Chrome
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import WebDriverWait

PAGE_SECONDS = 60
LOOK_SECONDS = 0.5
FLUX = (ElementClickInterceptedException, StaleElementReferenceException)
"""What happens to a click while a page is still being put together."""
INKED_CANVASES = """
return [...document.querySelectorAll('canvas')].filter(canvas => canvas.width && canvas.height &&
    canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data.some(byte => byte)).length
"""


@dataclass(frozen=True)
class Page:
    """The browser's one window, and the folder for its screenshots."""

    driver: Chrome
    base_url: str
    pictures: Path

    def open(self, path: str) -> None:
        self.driver.get(self.base_url + path)

    @property
    def text(self) -> str:
        """All that can be read, on one line."""
        return " ".join(self.driver.find_element(By.TAG_NAME, "body").text.split())

    def shows(self, *texts: str, seconds: float = PAGE_SECONDS) -> None:
        """Wait until the page shows every text."""
        self.until(lambda: all(text in self.text for text in texts), f"the page to show {texts}", seconds)

    def hides(self, text: str) -> None:
        """Wait until the page shows a text no longer."""
        self.until(lambda: text not in self.text, f"{text!r} to vanish")

    def comes_to_show(self, path: str, *texts: str, seconds: float) -> None:
        """Open a page again and again until it shows every text."""

        def opened() -> bool:
            self.open(path)
            try:
                WebDriverWait(self.driver, 10).until(lambda _: all(text in self.text for text in texts))
            except TimeoutException:
                return False
            return True

        self.until(opened, f"{path} to show {texts}", seconds)

    def until(self, reached: Callable[[], object], what: str, seconds: float = PAGE_SECONDS) -> None:
        """Wait for something; what the page shows instead goes into the failure, and into a picture."""
        try:
            WebDriverWait(self.driver, seconds, LOOK_SECONDS, FLUX).until(lambda _: reached())
        except TimeoutException:
            self.driver.save_screenshot(str(self.pictures / "failure.png"))
            raise AssertionError(f"waited {seconds} s for {what} at {self.driver.current_url}: {self.text}") from None

    def click(self, label: str) -> None:
        """Click what bears exactly this text."""
        self.until(lambda: self._clicked(label), f"something to click that says {label!r}")

    def _clicked(self, label: str) -> bool:
        # The innermost comes last; what lies further out may hold more than the text.
        for element in reversed(self._labelled(label)):
            if element.is_displayed() and element.is_enabled():
                element.click()
                return True
        return False

    def _labelled(self, label: str) -> list[WebElement]:
        return self.driver.find_elements(By.XPATH, f'//*[normalize-space(.)="{label}"]')

    def write(self, placeholder: str, text: str) -> None:
        """Write into the field with this placeholder."""
        field = f'//input[@placeholder="{placeholder}"]'
        self.until(lambda: self.driver.find_elements(By.XPATH, field), f"a field that says {placeholder!r}")
        self.driver.find_element(By.XPATH, field).send_keys(text)

    def scroll_to(self, label: str) -> None:
        """Bring what bears exactly this text to the middle of its frame."""
        self.until(lambda: self._labelled(label), f"{label!r} on the page")
        self.driver.execute_script("arguments[0].scrollIntoView({block: 'center'})", self._labelled(label)[-1])

    def drawn_canvases(self) -> int:
        """How many canvases have something painted on them."""
        return self.driver.execute_script(INKED_CANVASES)

    def keep(self, name: str) -> None:
        """Save a picture of the window once it has stopped moving."""
        seen: list[bytes] = []

        def is_still() -> bool:
            seen.append(self.driver.get_screenshot_as_png())
            return seen[-2:] == [seen[-1]] * 2

        self.until(is_still, "the page to be still")
        (self.pictures / f"{name}.png").write_bytes(seen[-1])

    def address_part(self, pattern: str) -> str:
        """The group of a pattern in the window's address, as soon as it matches."""
        self.until(lambda: re.search(pattern, self.driver.current_url), f"an address like {pattern}")
        return re.search(pattern, self.driver.current_url).group(1)
