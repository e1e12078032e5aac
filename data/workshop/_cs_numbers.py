"""Computer-science kinds about how numbers and characters are held: bases, bits, bytes and codes."""

from random import Random

from _cs_item import Draw, Item, item, near


def binary_to_decimal(rng: Random) -> Item:
    number = rng.randint(5, 63)
    flipped_bits = [number ^ (1 << place) for place in range(number.bit_length() - 1)]
    mistakes = rng.sample(flipped_bits, 2) + near(number)
    return item(f"What is the binary number {number:b} in decimal?", number, mistakes)


def decimal_to_binary(rng: Random) -> Item:
    number = rng.randint(8, 63)
    flipped_bits = [number ^ (1 << place) for place in range(number.bit_length() - 1)]
    mistakes = [f"{n:b}" for n in flipped_bits]
    return item(f"What is the decimal number {number} in binary?", f"{number:b}", mistakes)


def decimal_to_hexadecimal(rng: Random) -> Item:
    number = rng.randint(17, 255)
    high, low = divmod(number, 16)
    mistakes = [16 * low + high, *near(number), *near(number, 16)]
    right, *wrongs = (f"0x{n % 256:02X}" for n in (number, *mistakes))
    return item(f"How is the decimal number {number} written in hexadecimal?", right, wrongs)


def hexadecimal_to_decimal(rng: Random) -> Item:
    number = rng.randint(17, 255)
    high, low = divmod(number, 16)
    mistakes = [10 * high + low, 16 * low + high, *near(number, 16)]
    return item(f"What is the hexadecimal number 0x{number:02X} in decimal?", number, mistakes)


def bits_needed(rng: Random) -> Item:
    count = rng.randint(5, 250)
    bits = (count - 1).bit_length()
    question = f"How many bits are needed to give {count} items different codes of one length?"
    return item(question, bits, near(bits))


def twos_complement(rng: Random) -> Item:
    number = -rng.randint(2, 120)
    pattern = number + 256
    mistakes = [pattern, -number, number - 1, number - 2, number + 1, 128 - pattern]
    return item(f"Which number does {pattern:08b} stand for in 8-bit two's complement?", number, mistakes)


def bitwise_operations(rng: Random) -> Item:
    a, b = rng.randint(3, 31), rng.randint(3, 31)
    results = {"&": a & b, "|": a | b, "^": a ^ b}
    sign = rng.choice(list(results))
    mistakes = [*results.values(), a + b, max(a, b), a * b]
    return item(f"What is the value of {a} {sign} {b} in Python?", results[sign], mistakes)


def bytes_in_kibibytes(rng: Random) -> Item:
    count = rng.randint(2, 60)
    mistakes = [count * 1000, count * 512, count * 1024 + 24, count * 2048, count * 4096, count * 100]
    return item(f"How many bytes are in {count} KiB?", count * 1024, mistakes)


def character_codes(rng: Random) -> Item:
    first = rng.choice("Aa")
    offset = rng.randint(2, 25)
    code = ord(first) + offset
    question = f"The ASCII code of '{first}' is {ord(first)}. What is the ASCII code of '{chr(code)}'?"
    return item(question, code, near(code))


KINDS: tuple[Draw, ...] = (
    binary_to_decimal,
    decimal_to_binary,
    decimal_to_hexadecimal,
    hexadecimal_to_decimal,
    bits_needed,
    twos_complement,
    bitwise_operations,
    bytes_in_kibibytes,
    character_codes,
)
