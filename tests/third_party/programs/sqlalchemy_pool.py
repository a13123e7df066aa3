"""SQLAlchemy: a pool of connections to one file of SQLite, and a session for each thread."""

from __future__ import annotations

import sys
import tempfile
import threading
from contextlib import nullcontext

from sqlalchemy import create_engine, event, func, select
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, scoped_session, sessionmaker
from sqlalchemy.pool import QueuePool

RACY = "racy" in sys.argv
lock = nullcontext() if RACY else threading.Lock()
together = threading.Barrier(3)  # or the pool's lock may put one thread's checkins first


class Base(DeclarativeBase):
    pass


class Item(Base):
    __tablename__ = "items"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]


class Statistics:
    checkins = 0


statistics = Statistics()


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        engine = create_engine(
            f"sqlite:///{folder}/items.db",
            poolclass=QueuePool,
            pool_size=2,
            max_overflow=1,
            connect_args={"timeout": 60, "check_same_thread": False},
        )
        Base.metadata.create_all(engine)

        @event.listens_for(engine, "checkin")
        def count(*arguments: object) -> None:
            with lock:
                statistics.checkins += 1

        sessions = scoped_session(sessionmaker(engine))
        writing = threading.Lock()

        def work(number: int) -> None:
            for i in range(5):
                with writing, Session(engine) as session:
                    session.add(Item(name=f"{number}.{i}"))
                    session.commit()
                assert sessions.scalars(select(Item).where(Item.name == f"{number}.{i}")).one().id
                sessions.remove()
            with engine.connect():
                together.wait()

        threads = [threading.Thread(target=work, args=(i,)) for i in range(3)]
        for each in threads:
            each.start()
        for each in threads:
            each.join()
        with Session(engine) as session:
            print(session.scalar(select(func.count()).select_from(Item)), statistics.checkins > 0)
        engine.dispose()


main()
