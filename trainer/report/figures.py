"""Numbers as people read them."""

from math import ceil, floor, isfinite, isnan, log10

MINUS = "\N{MINUS SIGN}"


def number(value: float | None, digits: int = 3) -> str:
    """To so many significant digits, without an exponent where it can be helped.

    >>> number(0.04123), number(-1 / 18), number(1234567.0), number(2e-7), number(None)
    ('0.0412', '−0.0556', '1,234,567', '2e−7', 'n/a')
    """
    if value is None:
        return "n/a"
    if not isfinite(value):
        return "not a number" if isnan(value) else (MINUS if value < 0 else "") + "∞"
    size = abs(value)
    if value == 0:
        return "0"
    if size >= 1000:
        return f"{value:,.0f}".replace("-", MINUS)
    if size < 1e-4:
        mantissa, exponent = f"{value:.{digits - 1}e}".split("e")
        return f"{mantissa.rstrip('0').rstrip('.')}e{int(exponent)}".replace("-", MINUS)
    decimals = max(0, digits - 1 - floor(log10(size)))
    return f"{value:.{decimals}f}".replace("-", MINUS)


def signed(value: float | None) -> str:
    """With its sign.

    >>> signed(0.5), signed(-0.5), signed(0.0)
    ('+0.500', '−0.500', '0')
    """
    return ("+" if value is not None and value > 0 else "") + number(value)


def estimate(value: float | None, half: float | None) -> tuple[str, str]:
    """A signed value and the half width of its interval, both to the interval's second digit.

    >>> estimate(-0.005, 0.2481), estimate(12.0, 3.14), estimate(0.5, None), estimate(0.5, 0.0)
    (('−0.01', '0.25'), ('+12.0', '3.1'), ('+0.500', 'n/a'), ('+0.500', '0'))
    """
    if value is None or not half or not isfinite(half) or not isfinite(value):
        return signed(value), number(half, 2)
    decimals = max(0, 1 - floor(log10(half)))
    shown = f"{value:+,.{decimals}f}".replace("-", MINUS)
    return shown, f"{half:,.{decimals}f}"


def percent(value: float | None) -> str:
    """A share, in percent.

    >>> percent(0.1234), percent(1.0), percent(0.0004), percent(1e-9)
    ('12.3 %', '100 %', '0.04 %', '< 0.01 %')
    """
    if value is None or not isfinite(value):
        return number(value)
    scaled = 100 * value
    if 0 < scaled < 0.01:
        return "< 0.01 %"
    decimals = 0 if scaled in (0, 100) else 2 if abs(scaled) < 0.1 else 1
    return f"{scaled:.{decimals}f} %".replace("-", MINUS)


def duration(seconds: float | None) -> str:
    """Seconds in the two largest units.

    >>> duration(8.24), duration(272), duration(7260)
    ('8.2 s', '4 min 32 s', '2 h 1 min')
    """
    if seconds is None or not isfinite(seconds):
        return number(seconds)
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"


def short(value: float) -> str:
    """For ticks.

    >>> short(0), short(0.25), short(200_000), short(1_500_000), short(1e-5)
    ('0', '0.25', '200k', '1.5M', '1e−5')
    """
    for size, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:.6g}{unit}".replace("-", MINUS)
    if 0 < abs(value) < 1e-3:
        return f"{value:.0e}".replace("e-0", "e-").replace("-", MINUS)
    return f"{value:.6g}".replace("-", MINUS)


def ticks(low: float, high: float, count: int = 4) -> list[float]:
    """Round numbers from `low` to `high`, about `count` of them.

    >>> ticks(0, 400), ticks(0.02, 0.47)
    ([0.0, 100.0, 200.0, 300.0, 400.0], [0.1, 0.2, 0.3, 0.4])
    """
    raw = (high - low) / count
    if not raw > 0 or not isfinite(raw):
        return [low]
    power = 10.0 ** floor(log10(raw))
    step = power * min((m for m in (1, 2, 5, 10) if m * power >= raw * 0.8), default=10)
    first = ceil(low / step - 1e-9)
    return [float(f"{i * step:.12g}") for i in range(first, floor(high / step + 1e-9) + 1)]


def log_ticks(low: float, high: float) -> list[float]:
    """Decades between two positive numbers; 1, 2 and 5 of each where there are few.

    >>> log_ticks(0.03, 0.6), log_ticks(1e-8, 1e-3)
    ([0.05, 0.1, 0.2, 0.5], [1e-08, 1e-07, 1e-06, 1e-05, 0.0001, 0.001])
    """
    decades = range(floor(log10(low)) - 1, ceil(log10(high)) + 1)
    few = log10(high / low) < 2.5
    every = 1 if few else ceil(log10(high / low) / 5)
    found = [
        float(f"{m}e{d}")
        for d in decades
        if d % every == 0 or few
        for m in ((1, 2, 5) if few else (1,))
    ]
    return [tick for tick in found if low * 0.999 <= tick <= high * 1.001]
