"""Writes pictures in forms that cameras and editors make, with the pixels that Pillow reads from them.

    target/venv/bin/python tools/golden_pictures.py

engine/tests/data/pictures/ gets the files, and pictures.json their pixels as hexadecimal digits, row by row, RGB.
"""

import io
import json
import zlib
from pathlib import Path

import numpy as np
from PIL import Image, ImageCms, PngImagePlugin

WIDTH, HEIGHT = 24, 16


def main():
    folder = Path(__file__).resolve().parent.parent / "engine/tests/data/pictures"
    folder.mkdir(parents=True, exist_ok=True)
    expected = {}
    for name, (content, picture) in cases().items():
        (folder / name).write_bytes(content)
        expected[name] = np.asarray(picture.convert("RGB")).tobytes().hex()
        print(f"{name:24} {len(content)} bytes")
    (folder / "pictures.json").write_text(json.dumps(expected, indent=1) + "\n")


def cases():
    picture = Image.fromarray(pixels())
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    soft = picture.convert("RGBA")
    soft.putalpha(255)
    grey, palette, cmyk = picture.convert("L"), picture.quantize(16), picture.convert("CMYK")
    sixteen = pixels().astype(np.uint16) * 257
    first = Image.new("RGB", (WIDTH, HEIGHT), (200, 40, 40))
    second = Image.new("RGB", (WIDTH, HEIGHT), (40, 40, 200))
    animated = save(first, "WEBP", save_all=True, append_images=[second], duration=100, lossless=True)
    waves = palette.convert("RGB")
    moving = save(palette, "GIF", save_all=True, append_images=[grey], duration=100)
    clear = save(palette, "GIF", transparency=3)
    shown = Image.new("RGBA", (WIDTH, HEIGHT), "white")
    shown.alpha_composite(Image.open(io.BytesIO(clear)).convert("RGBA"))
    return {
        "grey.png": (save(grey, "PNG"), grey),
        "palette.png": (save(palette, "PNG"), palette),
        "opaque.png": (save(soft, "PNG"), picture),
        "sixteen_bits.png": (png16(sixteen), picture),
        "profile.png": (save(picture, "PNG", icc_profile=profile), picture),
        "texts.png": (save(picture, "PNG", pnginfo=texts()), picture),
        "grey.jpg": reread(save(grey, "JPEG", quality=95)),
        "cmyk.jpg": reread(save(cmyk, "JPEG", quality=95)),
        "halved.jpg": reread(save(picture, "JPEG", quality=90, subsampling=2)),
        "animated.webp": (animated, first),
        "animated.gif": (moving, waves),
        "clear.gif": (clear, shown),
    }


def pixels():
    """Soft waves, so that JPEG keeps them."""
    x, y, c = np.meshgrid(np.arange(WIDTH), np.arange(HEIGHT), np.arange(3), indexing="xy")
    return (127.5 + 60 * np.sin(x / 5 + c) + 60 * np.cos(y / 4 - c)).astype(np.uint8)


def save(picture, kind, **options):
    content = io.BytesIO()
    picture.save(content, kind, **options)
    return content.getvalue()


def reread(content):
    return content, Image.open(io.BytesIO(content))


def texts():
    """Texts that a page must never run."""
    info = PngImagePlugin.PngInfo()
    info.add_text("Comment", "<script>alert(1)</script>")
    info.add_itxt("XML:com.adobe.xmp", "<img src=x onerror=alert(1)>" * 100)
    return info


def png16(values):
    """RGB of 16 bits a channel, which Pillow does not write."""
    def chunk(kind, data):
        body = kind + data
        return len(data).to_bytes(4, "big") + body + zlib.crc32(body).to_bytes(4, "big")

    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    header = WIDTH.to_bytes(4, "big") + HEIGHT.to_bytes(4, "big") + bytes([16, 2, 0, 0, 0])
    parts = [chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


if __name__ == "__main__":
    main()
