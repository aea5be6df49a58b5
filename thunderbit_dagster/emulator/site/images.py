"""The site's pictures: tide curves drawn from the picture's name, so that no binary file is kept."""

from html import escape
from math import sin
from zlib import crc32

WIDTH, HEIGHT = 720, 240


def tide_curve(name: str) -> str:
    """An SVG of 720 by 240 pixels; the same name always gives the same curve."""
    seed = crc32(name.encode())
    spring, daily, shift = 40 + seed % 30, 6 + seed % 17, seed % 628 / 100
    points = " ".join(
        f"{x},{HEIGHT / 2 - spring * sin(x / 29 + shift) - daily * sin(x / 58):.1f}" for x in range(0, WIDTH + 1, 6)
    )
    label = escape(name.replace("-", " "))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
        f'width="{WIDTH}" height="{HEIGHT}">'
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#eaf3f6"/>'
        f'<line x1="0" x2="{WIDTH}" y1="{HEIGHT / 2}" y2="{HEIGHT / 2}" '
        f'stroke="#9bb8c4" stroke-dasharray="6 6"/>'
        f'<polyline points="{points}" fill="none" stroke="#0b5d7a" stroke-width="3"/>'
        f'<text x="16" y="28" font-family="sans-serif" font-size="16" fill="#33525f">{label}</text></svg>'
    )
