"""What the benchmarks send: signals that are taken back."""

from __future__ import annotations

from benchmarks.scripted_markets import BEST_BID_E4, STRONG_E6, SignalDriver, scripted_venue


def test_one_frame_in_a_hundred_is_a_signal_that_the_market_s_next_one_takes_back() -> None:
    venue, markets = scripted_venue(50)
    sent: list[tuple[str, int, int]] = []
    venue.change_level = lambda token, side, price, size: sent.append((token, price, size))  # type: ignore
    driver = SignalDriver(venue, markets)
    for _ in range(10_000):
        driver._send_frame()
    signals = [n for n, (_, _, size) in enumerate(sent) if size == STRONG_E6]
    assert len(signals) == 100
    for number in signals[:-1]:
        token = sent[number][0]
        following = next(frame for frame in sent[number + 1 :] if frame[0] == token)
        assert following[1] == BEST_BID_E4
        assert following[2] < STRONG_E6
