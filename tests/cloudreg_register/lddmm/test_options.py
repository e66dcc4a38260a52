import pytest

from cloudreg_io.errors import InputError
from cloudreg_register.lddmm.options import RegisterOptions


@pytest.mark.parametrize(
    ("option", "named"),
    [
        ({"iterations": (20, 12, 0)}, "--iterations"),
        ({"regularization": 0.0}, "--regularization"),
        ({"regularization": float("nan")}, "--regularization"),
        ({"contrast_order": 0}, "contrast"),
    ],
)
def test_options_that_mean_nothing_are_refused(option, named):
    with pytest.raises(InputError, match=named) as refused:
        RegisterOptions(**option)
    assert refused.value.fix
