"""A clock that jumps: the system's own clock as the whole process sees it, Dagster's storage included."""

import datetime as dt
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from lifecycle_assets.definitions import build_resources
from lifecycle_assets.dispatch.ledger import Ledger
from resources.home import Home
from tests.faults.small_shop import NIGHT, SHOP, bytes_of, start

# Loaded before the C library; clocks that only measure durations stay as they are.
CLOCK = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/time.h>
#include <time.h>
static time_t ahead(void) { const char *s = getenv("CLOCK_AHEAD"); return s ? atoll(s) : 0; }
int clock_gettime(clockid_t clock, struct timespec *now) {
    static int (*real)(clockid_t, struct timespec *);
    if (!real) real = dlsym(RTLD_NEXT, "clock_gettime");
    int failed = real(clock, now);
    if (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE) now->tv_sec += ahead();
    return failed;
}
int gettimeofday(struct timeval *now, void *zone) {
    struct timespec found;
    clock_gettime(CLOCK_REALTIME, &found);
    now->tv_sec = found.tv_sec;
    now->tv_usec = found.tv_nsec / 1000;
    return 0;
}
time_t time(time_t *now) {
    struct timespec found;
    clock_gettime(CLOCK_REALTIME, &found);
    if (now) *now = found.tv_sec;
    return found.tv_sec;
}
/* The kernel knows the true hour: whoever waits until an hour of this clock would wait for ever, or not at all and spin. */
int pthread_cond_timedwait(pthread_cond_t *met, pthread_mutex_t *mutex, const struct timespec *until) {
    struct timespec truly = {until->tv_sec - ahead(), until->tv_nsec};
    /* Small are the deadlines of the clock that counts from the start of the machine. */
    if (until->tv_sec < 1000000000) return pthread_cond_clockwait(met, mutex, CLOCK_MONOTONIC, until);
    return pthread_cond_clockwait(met, mutex, CLOCK_REALTIME, &truly);
}
"""
SENDING = "+dispatch/ledger"
Night = Callable[[dt.datetime], None]


@pytest.fixture
def night_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, new_home: Callable[..., Home]) -> tuple[Home, Night]:
    """A home whose night looks at the day before, and how to run it at an hour of one's own."""
    if shutil.which("cc") is None:
        pytest.skip("a C compiler is needed for a clock of one's own")
    (tmp_path / "clock.c").write_text(CLOCK)
    library = tmp_path / "clock.so"
    subprocess.run(["cc", "-shared", "-fPIC", "-o", str(library), str(tmp_path / "clock.c"), "-ldl"], check=True)
    home = new_home(as_of="null")

    def night(now: dt.datetime) -> None:
        with monkeypatch.context() as patched:
            patched.setenv("LD_PRELOAD", str(library))
            patched.setenv("CLOCK_AHEAD", str(int((now - dt.datetime.now(dt.UTC)).total_seconds())))
            process = start(home, SENDING)
        said = "".join(process.communicate())
        assert process.returncode == 0, said

    return home, night


@pytest.mark.slow
def test_a_clock_that_jumps_back_and_on_again_sends_nothing_twice_and_loses_no_line(
    night_at: tuple[Home, Night],
) -> None:
    home, night = night_at

    def lines() -> pl.DataFrame:
        return build_resources(home)["lake"].scan(Ledger, SHOP).sort(Ledger.primary_key).collect()

    def batches() -> dict[str, str]:
        return {name: digest for name, digest in bytes_of(home).items() if name.startswith("dispatch/")}

    morning = dt.datetime.combine(NIGHT + dt.timedelta(days=1), dt.time(2), dt.UTC)
    night(morning)
    first, sent = lines(), batches()
    assert set(first["as_of"]) == {NIGHT}
    assert sent and first.filter(event="exported").height > 10
    # Two days back: a night before the last one, by a run that began before it. What it plans comes too late to be sent.
    night(morning - dt.timedelta(days=2))
    # Right again: the same night as the first time, an hour later.
    night(morning + dt.timedelta(hours=1))
    assert batches() == sent
    assert lines().equals(first)
