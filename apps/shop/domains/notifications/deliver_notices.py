"""Hand the letters that are written to the mail server, which takes them from a folder.

Written with plain `def`: it runs in the kernel's threads. A letter has the same file name each
time, so that one that was handed over just before a crash is handed over as itself again.
"""

from email.message import EmailMessage
from email.policy import SMTP

from msgspec import Struct

from ringfence import Plugin, Settings, wait
from ringfence.tools.clock import Clock, every
from ringfence.tools.db import Database
from ringfence.tools.files import Files


class Mail(Settings, section="mail"):
    sender: str = "shop@example.com"


class Notice(Struct):
    id: int
    email: str
    subject: str
    text: str


class DeliverNotices(Plugin):
    db: Database
    clock: Clock
    mail: Files
    settings: Mail

    @every("10s")
    def deliver(self) -> None:
        for notice in wait(self.db.fetch_all(_UNSENT, into=Notice)):
            letter = _letter(notice, self.settings.sender)
            wait(self.mail.write(f"{notice.id}.eml", letter, content_type="message/rfc822"))
            wait(self.db.execute(_SENT, notice.id, self.clock.now()))


def _letter(notice: Notice, sender: str) -> bytes:
    letter = EmailMessage(policy=SMTP)
    letter["From"] = sender
    letter["To"] = notice.email
    letter["Subject"] = notice.subject
    letter.set_content(notice.text)
    return letter.as_bytes()


_UNSENT = "SELECT * FROM notices WHERE sent_at IS NULL ORDER BY id LIMIT 50"
_SENT = "UPDATE notices SET sent_at = $2 WHERE id = $1"
