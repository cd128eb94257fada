"""kill -9 and reboots during applies of 200 resources: the next start ends in the right state."""
import os
import random
import statistics
import time

import pytest

from mixed import Mixed

KILLS, REBOOTS = 10, 1
SOAK_KILLS = int(os.environ.get("STEAD_SOAK_KILLS", "500"))
SOAK_REBOOTS = int(os.environ.get("STEAD_SOAK_REBOOTS", "20"))


@pytest.fixture(scope="module")
def mixed(machine, tmp_path_factory, request):
    soak = request.config.getoption("--soak")
    seed = int(os.environ.get("STEAD_SEED", str(time.time_ns()) if soak else "7"))
    print(f"seed {seed}")
    model = Mixed(machine, tmp_path_factory.mktemp("mixed"), random.Random(seed))
    model.learn()
    return model


def test_killed_at_random_instants(mixed, request):
    kills = SOAK_KILLS if request.config.getoption("--soak") else KILLS
    repairs = []
    while mixed.kills < kills:
        mixed.turn()
        for _ in range(mixed.chooser.choice((1, 2, 4, 6, 8))):
            if not mixed.kill_once():
                mixed.turn()  # another one would find nothing to do
        if mixed.chooser.random() < 0.15:  # half done, and somebody wants the other one
            mixed.turn()
        if mixed.chooser.random() < 0.3:
            print("tampered:", mixed.tamper())
        repairs.append(mixed.recover())
        print(f"{mixed.kills} kills, {mixed.ended} came too late, repaired in {repairs[-1]:.1f} s", flush=True)
    print(f"{mixed.kills} kills, {mixed.ended} came too late; repairs: median {statistics.median(repairs):.1f} s, "
          f"longest {max(repairs):.1f} s")
    assert mixed.ended < mixed.kills


def test_rebooted_at_random_instants(mixed, request):
    reboots = SOAK_REBOOTS if request.config.getoption("--soak") else REBOOTS
    repairs = []
    while mixed.reboots < reboots:
        mixed.turn()
        how = mixed.reboot()
        repairs.append(mixed.recover())
        print(f"{mixed.reboots} reboots, {how}: repaired in {repairs[-1]:.1f} s", flush=True)


if __name__ == "__main__":
    raise SystemExit(pytest.main([__file__]))
