"""How often a key may come."""

import pytest

from core.errors import Unavailable
from service.limits import RateLimit


def test_a_key_may_burst_and_then_so_many_requests_a_second_and_others_do_not_pay_for_it():
    limit = RateLimit(a_second=8, burst=5)
    for _ in range(5):
        limit.take(1, now=100.0)
    with pytest.raises(Unavailable) as refused:
        limit.take(1, now=100.0)
    assert refused.value.code == "rate_limited"
    limit.take(2, now=100.0)
    limit.take(1, now=100.125)
    with pytest.raises(Unavailable):
        limit.take(1, now=100.125)
    for _ in range(5):
        limit.take(1, now=200.0)
    with pytest.raises(Unavailable):
        limit.take(1, now=200.0)
