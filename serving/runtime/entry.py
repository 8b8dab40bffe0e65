"""The module that BentoML imports from a built Bento; nothing else imports it."""

from pathlib import Path

from serving.runtime.service import create

service = create(Path(__file__).resolve().parents[2])
