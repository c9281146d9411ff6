"""Story 8, its data: one region's catalogue feed breaks while the whole looks fine. A real agent, a built reference."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from agent.reference import file
from agent.reference.build import build
from agent.reference.plan import Request
from agent.wire import recorder_pb2 as wire
from tests.end_to_end.harness import AgentProcess
from tests.end_to_end.traffic import features, model_of, said, sending

HOUR = 3600 * 10**9
REGIONS = ("north", "south", "east", "west", "centre", "isles")
SHARES = (0.3, 0.25, 0.2, 0.12, 0.08, 0.05)
ROWS = 800
START = 472_000  # hours


def rows(index: int) -> dict[str, np.ndarray]:
    """One hour: dearer in some regions, in stock as often as not."""
    random = np.random.default_rng(index)
    region = random.choice(len(REGIONS), ROWS, p=SHARES)
    return {
        "region": region,
        "price": random.normal(size=ROWS) + region / 4.0,
        "stock": random.poisson(6.0, ROWS).astype(np.float64),
        "score": random.uniform(size=ROWS),
    }


def reference(folder: Path) -> str:
    hours = [rows(index) for index in range(80)]
    columns = {name: np.concatenate([hour[name] for hour in hours]) for name in hours[0]}
    columns["region"] = np.array(REGIONS)[columns["region"]]
    times = np.repeat((START - 80 + np.arange(80)) * HOUR, ROWS)
    pq.write_table(pa.table({"time": pa.array(times, pa.timestamp("ns")), **columns}), folder / "shop.parquet")
    made = build(
        Request((str(folder / "shop.parquet"),), "shop", "1", time="time", score="score", segments=("region",))
    ).reference
    file.write(made, folder / "shop.sidelight")
    return str(folder / "shop.sidelight")


def message(hour: int, broken: str = "") -> wire.RecordRequest:
    """All rows of one hour; in the broken region the catalogue says 0 in stock of everything."""
    found = rows(1_000 + hour)
    stock = np.where(found["region"] == REGIONS.index(broken), 0.0, found["stock"]) if broken else found["stock"]
    request = wire.RecordRequest()
    request.model.name, request.model.version = "shop", "1"
    columns = request.columns
    columns.rows = ROWS
    columns.id_prefix = f"{hour}-"
    columns.id_numbers.extend(range(ROWS))
    columns.time_unix_nano.extend(((START + hour) * HOUR + np.arange(ROWS) * 10**9).tolist())
    columns.numbers.add(name="price", values=found["price"].tolist())
    columns.numbers.add(name="stock", values=stock.tolist())
    columns.segments.add(name="region", dictionary=REGIONS, codes=found["region"].tolist())
    columns.outputs.add().scores.add(values=found["score"].tolist())
    return request


def test_one_regions_broken_feed_is_named(tmp_path: Path) -> None:
    """Twenty quiet hours; then the isles, a twentieth of the traffic: named at once, and nothing else said."""
    options = {"SIDELIGHT_REFERENCE": reference(tmp_path), "SIDELIGHT_TIME": "event", "SIDELIGHT_SEGMENTS": "region"}
    with AgentProcess(tmp_path, **options) as agent, sending(agent) as send:
        hours = [message(hour) for hour in range(20)]
        hours += [message(hour, broken="isles") for hour in range(20, 24)]
        for each in hours:
            assert send(each).accepted == ROWS
        status = agent.wait_for(lambda s: model_of(s, "shop", "1").get("windows_closed") == 23)
        ((what, name, firing),) = said(status, "shop", "1")
        assert (what, name, firing["sidelight.window.index"]) == ("firing", "segment_change", START + 20)
        assert features(firing) == {"stock"}
        assert {feature["segment"] for feature in firing["sidelight.alert.features"]} == {"region=isles"}
        states = {line["segment"]: line["verdict"] for line in model_of(status, "shop", "1")["segments"]}
        assert states == {f"region={region}": "within the noise" for region in REGIONS}
        assert agent.stop() == 0
