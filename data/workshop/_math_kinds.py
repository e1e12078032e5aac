"""The table of the 40 kinds of word problem: their numbers, wordings and steps.

A step is "operand operator operand"; x, y and z are the results of the first, second and third step.
All wordings of a kind name its numbers in the same order.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Kind:
    name: str
    numbers: Mapping[str, Sequence[int]]
    wordings: tuple[str, ...]
    steps: tuple[str, ...]
    unit: str
    when: Callable[..., bool] = lambda **numbers: True
    largest: int = 100


NAMES = (
    ("Anna", "she"), ("Ben", "he"), ("Clara", "she"), ("David", "he"), ("Emma", "she"), ("Frank", "he"),
    ("Grace", "she"), ("Henry", "he"), ("Ivy", "she"), ("Jack", "he"), ("Kate", "she"), ("Leo", "he"),
    ("Mia", "she"), ("Noah", "he"), ("Olive", "she"), ("Peter", "he"), ("Rosa", "she"), ("Sam", "he"),
    ("Tina", "she"), ("Tom", "he"), ("Vera", "she"), ("Max", "he"),
)  # fmt: skip

WORDS = {
    "things": (
        "apples", "stickers", "marbles", "shells", "buttons", "cards", "stamps", "beads", "pencils", "coins",
    ),
    "treats": ("cookies", "plums", "candies", "grapes", "cherries", "nuts", "figs", "dates"),
    "boxes": ("boxes", "bags", "baskets", "jars", "bowls"),
    "people": ("friends", "children", "cousins", "players", "students"),
    "good": (
        "pen/pens", "book/books", "toy/toys", "cup/cups", "hat/hats", "lamp/lamps", "ball/balls", "mug/mugs",
    ),
    "plot": ("garden", "field", "yard", "park", "meadow"),
    "four_legs": ("cows", "dogs", "cats", "goats", "horses", "sheep"),
    "two_legs": ("hens", "ducks", "geese", "birds", "chickens"),
    "month": ("March", "April", "May", "June", "July", "August"),
    "event": ("party", "trip", "concert", "match", "picnic"),
    "ride": ("bus", "train", "tram", "boat"),
    "dish": ("soup", "stew", "curry", "pudding", "sauce"),
    "traveler": ("cyclist", "tractor", "boat", "horse", "tram"),
}  # fmt: skip

KINDS = (
    Kind(
        "altogether",
        {"a": range(4, 40), "b": range(3, 40)},
        (
            "{A} has {a} {things} and {B} has {b} {things}. How many {things} do they have altogether?",
            "{A} finds {a} {things} and {B} finds {b}. How many {things} do they find in all?",
            "There are {a} {things} on the table. {A} adds {b} more. How many {things} are there now?",
        ),
        ("a + b",),
        "{things}",
    ),
    Kind(
        "difference",
        {"a": range(12, 60), "b": range(4, 40)},
        (
            "{A} has {a} {things}. {B} has {b} {things}. How many more {things} does {A} have than {B}?",
            "{A} takes {a} {treats} and {B} takes {b}. How many more does {A} take than {B}?",
            "A red jar holds {a} {things}. A blue jar holds {b}. How many more does the red jar hold?",
        ),
        ("a - b",),
        "more",
    ),
    Kind(
        "change",
        {"a": (20, 30, 40, 50), "b": range(3, 48)},
        (
            "{A} pays with ${a} for a {good} that costs ${b}. How much change does {she} get?",
            "{A} hands over ${a} for a {good}. The price is ${b}. How much change comes back?",
            "With ${a}, {A} buys a {good} for ${b}. How many dollars does {she} get back?",
        ),
        ("a - b",),
        "dollars",
    ),
    Kind(
        "equal_groups",
        {"a": range(3, 12), "b": range(3, 13)},
        (
            "{A} has {a} {boxes} with {b} {things} in each. How many {things} does {she} have?",
            "There are {a} {boxes}. Each holds {b} {things}. How many {things} are there in all?",
            "{A} fills {a} {boxes} and puts {b} {things} in each one. How many {things} is that?",
        ),
        ("a * b",),
        "{things}",
    ),
    Kind(
        "sharing_equally",
        {"a": range(8, 73), "b": range(3, 10)},
        (
            "{A} shares {a} {treats} equally among {b} {people}. How many {treats} does each one get?",
            "{a} {treats} are split equally between {b} {people}. How many {treats} are there for each?",
            "{A} puts {a} {treats} equally on {b} plates. How many {treats} are on each plate?",
        ),
        ("a / b",),
        "{treats} each",
    ),
    Kind(
        "leftover_after_sharing",
        {"a": range(13, 50), "b": range(3, 9), "q": range(3, 9)},
        (
            "{A} shares {a} {treats} equally among {b} {people}. How many {treats} are left over?",
            "{A} puts {a} {things} into {b} equal groups of whole {things}. How many are left over?",
            "{A} deals {a} cards evenly to {b} {people}. How many cards are left over?",
        ),
        ("b * q", "a - x"),
        "left over",
        when=lambda a, b, q: 2 <= a - b * q < b,
    ),
    Kind(
        "twice_as_many",
        {"a": range(6, 50)},
        (
            "{A} has {a} {things}. {B} has twice as many. How many {things} does {B} have?",
            "{A} read {a} pages. {B} read double that. How many pages did {B} read?",
            "There are {a} {treats} in a bowl. A bag holds twice as many. How many are in the bag?",
        ),
        ("2 * a",),
        "",
    ),
    Kind(
        "half_of",
        {"a": range(8, 99, 2)},
        (
            "{A} has {a} {things} and gives half of them to {B}. How many does {B} get?",
            "Half of the {a} members of a club wear hats. How many members wear hats?",
            "{A} baked {a} rolls and sold half of them. How many rolls did {she} sell?",
        ),
        ("a / 2",),
        "",
    ),
    Kind(
        "age_in_years",
        {"a": range(5, 60), "b": range(3, 20)},
        (
            "{A} is {a} years old. How old will {she} be in {b} years?",
            "{A} is {a} years old now. How old is {she} after {b} more years?",
            "Today {A} turns {a}. What age will {she} be in {b} years?",
        ),
        ("a + b",),
        "years old",
    ),
    Kind(
        "elapsed_hours",
        {"a": range(6, 16), "b": range(10, 24)},
        (
            "A shop opens at {a}:00 and closes at {b}:00. How many hours is it open?",
            "{A} starts work at {a}:00 and stops at {b}:00. How many hours does {she} work?",
            "A {ride} leaves at {a}:00 and arrives at {b}:00. How many hours does the ride take?",
        ),
        ("b - a",),
        "hours",
    ),
    Kind(
        "weeks_and_days",
        {"a": range(2, 13), "b": range(2, 7)},
        (
            "A trip lasts {a} weeks and {b} days. How many days is that?",
            "{A} is away for {a} weeks and {b} days. How many days is {she} away?",
            "It took {A} {a} weeks and {b} days to paint a house. How many days did it take?",
        ),
        ("a * 7", "x + b"),
        "days",
    ),
    Kind(
        "hours_to_minutes",
        {"a": (2, 3, 4), "b": range(5, 56, 5)},
        (
            "A film lasts {a} hours and {b} minutes. How many minutes is that?",
            "{A} walks for {a} hours and {b} minutes. How many minutes does {she} walk?",
            "A {ride} ride takes {a} hours and {b} minutes. How many minutes does it take?",
        ),
        ("a * 60", "x + b"),
        "minutes",
        largest=300,
    ),
    Kind(
        "rectangle_perimeter",
        {"a": range(6, 25), "b": range(3, 16)},
        (
            "A {plot} is {a} meters long and {b} meters wide. What is its perimeter?",
            "{A} walks once around a {plot} that is {a} meters by {b} meters. How far does {she} walk?",
            "A rectangle is {a} meters long and {b} meters wide. How long is its border?",
        ),
        ("a + b", "2 * x"),
        "meters",
        when=lambda a, b: a > b,
    ),
    Kind(
        "rectangle_area",
        {"a": range(5, 13), "b": range(3, 11)},
        (
            "A {plot} is {a} meters long and {b} meters wide. What is its area?",
            "{A} covers a {plot} of {a} meters by {b} meters with grass. What area is covered?",
            "A rectangle is {a} meters long and {b} meters wide. How many square meters does it cover?",
        ),
        ("a * b",),
        "square meters",
        when=lambda a, b: a > b,
    ),
    Kind(
        "unit_price",
        {"a": range(3, 12), "b": range(8, 91)},
        (
            "{A} buys {a} {goods} for ${b} in total. How much does one {good} cost?",
            "{a} {goods} cost ${b}. What is the price of one {good}?",
            "A pack of {a} {goods} costs ${b}. How many dollars is that for each {good}?",
        ),
        ("b / a",),
        "dollars each",
    ),
    Kind(
        "two_item_total",
        {"a": range(2, 7), "b": range(3, 10), "c": range(3, 20)},
        (
            "{A} buys {a} {goods} at ${b} each and one {other_good} for ${c}. How much does {she} pay?",
            "{a} {goods} at ${b} each and a {other_good} at ${c} are in the cart. What is the total price?",
            "{A} sells {a} {goods} for ${b} each and a {other_good} for ${c}. How much does {she} get?",
        ),
        ("a * b", "x + c"),
        "dollars",
    ),
    Kind(
        "fixed_discount",
        {"a": range(15, 80), "b": range(3, 20)},
        (
            "A {good} costs ${a}. Today it is ${b} off. What is the price today?",
            "{A} has a coupon for a {good} that costs ${a}. The coupon takes off ${b}. What does {she} pay?",
            "The price of a {good} was ${a}. It drops by ${b}. What is the new price?",
        ),
        ("a - b",),
        "dollars",
    ),
    Kind(
        "weekly_savings",
        {"a": range(5, 40), "b": range(3, 10), "c": range(2, 9)},
        (
            "{A} has ${a}. {She} saves ${b} a week for {c} weeks. How much does {she} have then?",
            "{A} starts with ${a} and saves ${b} each week. How much is there after {c} weeks?",
            "There is ${a} in a jar. {A} adds ${b} every week for {c} weeks. How much is in the jar then?",
        ),
        ("b * c", "a + x"),
        "dollars",
    ),
    Kind(
        "distance",
        {"a": range(4, 25), "b": range(2, 8)},
        (
            "A {traveler} moves at {a} km per hour for {b} hours. How many km is that?",
            "{A} rides at {a} km per hour. How far does {she} get in {b} hours?",
            "A {traveler} keeps a speed of {a} km per hour for {b} hours. What is the distance?",
        ),
        ("a * b",),
        "km",
    ),
    Kind(
        "animal_legs",
        {"a": range(2, 11), "b": range(2, 12)},
        (
            "A farm has {a} {four_legs} and {b} {two_legs}. How many legs do they have in all?",
            "{A} sees {a} {four_legs} and {b} {two_legs}. How many legs is that altogether?",
            "There are {a} {four_legs} and {b} {two_legs} in a {plot}. How many legs are there?",
        ),
        ("a * 4", "b * 2", "x + y"),
        "legs",
    ),
    Kind(
        "pages_left",
        {"a": range(40, 100), "b": range(6, 40), "c": range(6, 40)},
        (
            "A book has {a} pages. {A} reads {b} on Monday and {c} on Tuesday. How many pages are left?",
            "{A} has {a} pages to read. {She} reads {b} one day and {c} the next. How many pages remain?",
            "Of the {a} pages in a book, {A} read {b} and then {c} more. How many pages are left?",
        ),
        ("a - b", "x - c"),
        "pages",
    ),
    Kind(
        "temperature",
        {"a": range(8, 25), "b": range(3, 12), "c": range(3, 15)},
        (
            "It is {a} degrees. The temperature rises by {b} degrees and then falls by {c}. What is it now?",
            "At dawn it was {a} degrees. It rose {b} degrees by noon and fell {c} by night. What was it then?",
            "A room is at {a} degrees. It warms by {b} degrees, then cools by {c}. How warm is it?",
        ),
        ("a + b", "x - c"),
        "degrees",
    ),
    Kind(
        "missing_addend",
        {"a": range(15, 90), "b": range(4, 60)},
        (
            "Two numbers add up to {a}. One of them is {b}. What is the other?",
            "The sum of two numbers is {a}. The first is {b}. What is the second?",
            "What number makes {a} when it is added to {b}?",
        ),
        ("a - b",),
        "",
    ),
    Kind(
        "consecutive_numbers",
        {"a": range(5, 49)},
        (
            "What is the sum of {a} and the next whole number?",
            "{A} adds {a} and the number right after it. What is the sum?",
            "A locker has number {a}. The next locker has the next number. What do the two add up to?",
        ),
        ("a + 1", "a + x"),
        "",
    ),
    Kind(
        "share_plus_extra",
        {"a": range(12, 61), "b": range(3, 9), "c": range(2, 12)},
        (
            "{A} gets an equal share of {a} {treats} split among {b} {people}, then {c} more. How many in all?",
            "{a} {things} are shared equally by {b} {people}. {A} takes a share and gets {c} extra. How many is that?",
            "{a} {things} go equally into {b} {boxes}. {A} adds {c} to one. How many are in that one?",
        ),
        ("a / b", "x + c"),
        "in total",
    ),
    Kind(
        "game_score",
        {"a": range(3, 11), "b": range(3, 10), "c": range(4, 20)},
        (
            "{A} hits {a} targets for {b} points each and gets a bonus of {c} points. What is the score?",
            "In a game {A} wins {a} rounds worth {b} points each, then {c} extra points. How many points?",
            "A team makes {a} goals at {b} points each and earns {c} bonus points. What is its score?",
        ),
        ("a * b", "x + c"),
        "points",
    ),
    Kind(
        "recipe_scaling",
        {"a": range(2, 7), "b": range(2, 8), "c": range(6, 37)},
        (
            "A {dish} for {a} people needs {b} cups of water. How many cups are needed for {c} people?",
            "A cake for {a} people takes {b} eggs. How many eggs are needed for a cake for {c} people?",
            "A {dish} for {a} people takes {b} spoons of oil. How many spoons are needed for {c} people?",
        ),
        ("c / a", "x * b"),
        "needed",
    ),
    Kind(
        "empty_seats",
        {"a": range(4, 11), "b": range(4, 11), "c": range(8, 60)},
        (
            "A hall has {a} rows of {b} seats. {c} seats are taken. How many seats are empty?",
            "A {ride} has {a} rows with {b} seats each. {c} people sit down. How many seats stay free?",
            "{A} sets up {a} rows of {b} chairs. {c} chairs are used. How many chairs are empty?",
        ),
        ("a * b", "x - c"),
        "empty",
    ),
    Kind(
        "more_than_together",
        {"a": range(5, 35), "b": range(3, 20)},
        (
            "{A} has {a} {things}. {B} has {b} more than {A}. How many {things} do they have together?",
            "{A} takes {a} {treats}. {B} takes {b} more than that. How many {treats} do they take in all?",
            "A red jar holds {a} {things}. A blue jar holds {b} more than that. How many do both jars hold?",
        ),
        ("a + b", "a + x"),
        "together",
    ),
    Kind(
        "three_way_total",
        {"a": range(4, 30), "b": range(4, 30), "c": range(4, 30)},
        (
            "{A} has {a} red, {b} blue and {c} green {things}. How many {things} does {she} have?",
            "A box holds {a} plums, {b} pears and {c} apples. How many fruits does it hold?",
            "{A} runs {a} laps on Monday, {b} on Tuesday and {c} on Friday. How many laps is that?",
        ),
        ("a + b", "x + c"),
        "in all",
    ),
    Kind(
        "packs_given_away",
        {"a": range(3, 10), "b": range(4, 11), "c": range(3, 40)},
        (
            "{A} buys {a} packs of {b} {things} and gives away {c}. How many {things} are left?",
            "{A} opens {a} packs with {b} {treats} each. The {people} eat {c}. How many {treats} are left?",
            "{A} has {a} packs of {b} {goods}. {She} sells {c} {goods}. How many {goods} are left?",
        ),
        ("a * b", "x - c"),
        "left",
    ),
    Kind(
        "rope_left",
        {"a": range(20, 90), "b": range(3, 9), "c": range(2, 10)},
        (
            "A rope is {a} meters long. {A} cuts off {b} pieces of {c} meters each. How many meters are left?",
            "From {a} meters of ribbon {A} cuts {b} strips of {c} meters each. How many meters remain?",
            "{A} has {a} meters of wire and uses {b} pieces of {c} meters each. How much wire is left?",
        ),
        ("b * c", "a - x"),
        "meters",
    ),
    Kind(
        "bus_passengers",
        {"a": range(12, 50), "b": range(3, 30), "c": range(3, 30)},
        (
            "A {ride} carries {a} people. {b} get off and {c} get on. How many people are on it now?",
            "There are {a} people on a {ride}. At a stop {b} leave and {c} enter. How many are on it then?",
            "{a} people ride a {ride}. First {b} step off, then {c} step on. How many people ride now?",
        ),
        ("a - b", "x + c"),
        "people",
    ),
    Kind(
        "money_left",
        {"a": range(30, 100), "b": range(4, 40), "c": range(4, 40)},
        (
            "{A} has ${a}. {She} spends ${b} on a {good} and ${c} on a {other_good}. How much is left?",
            "{A} goes out with ${a} and pays ${b} for lunch and ${c} for a {good}. How much money is left?",
            "From ${a}, {A} buys a {good} for ${b} and a {other_good} for ${c}. How much does {she} keep?",
        ),
        ("a - b", "x - c"),
        "dollars",
    ),
    Kind(
        "average",
        {"a": range(4, 40), "b": range(4, 40)},
        (
            "What is the average of {a} and {b}?",
            "{A} scores {a} points in one game and {b} in the next. What is the average score?",
            "{A} rides {a} km one day and {b} km the next day. How many km a day is that on average?",
        ),
        ("a + b", "x / 2"),
        "",
    ),
    Kind(
        "percent",
        {"a": (10, 20, 25, 50), "b": range(20, 201, 10), "d": (2, 4, 5, 10)},
        (
            "What is {a} percent of {b}?",
            "{a} percent of the {b} students in a school wear red. How many wear red?",
            "{A} sells {a} percent of {b} {things}. How many does {she} sell?",
        ),
        ("b / d",),
        "",
        when=lambda a, b, d: a * d == 100,
    ),
    Kind(
        "fraction",
        {"a": (3, 4, 5, 6), "b": range(12, 91)},
        (
            "What is 1/{a} of {b}?",
            "{A} eats 1/{a} of the {b} {treats}. How many does {she} eat?",
            "1/{a} of the {b} {things} in a box are blue. How many are blue?",
        ),
        ("b / a",),
        "",
    ),
    Kind(
        "coin_value",
        {"a": range(2, 10), "b": range(2, 8)},
        (
            "{A} has {a} coins of 5 cents and {b} coins of 10 cents. How many cents is that?",
            "There are {a} coins of 5 cents and {b} coins of 10 cents in a jar. How many cents are there?",
            "{A} finds {a} coins of 5 cents and {b} coins of 10 cents. What are they worth in cents?",
        ),
        ("a * 5", "b * 10", "x + y"),
        "cents",
        largest=120,
    ),
    Kind(
        "calendar_days",
        {"a": range(2, 20), "b": range(8, 31)},
        (
            "Today is {month} {a}. The {event} is on {month} {b}. How many days are left until then?",
            "{A} leaves on {month} {a} and comes back on {month} {b}. How many days later is that?",
            "It is {month} {a}. {A} waits for the {event} on {month} {b}. How many days must {she} wait?",
        ),
        ("b - a",),
        "days",
    ),
    Kind(
        "start_amount",
        {"a": range(4, 40), "b": range(4, 50)},
        (
            "{A} gives away {a} {things} and has {b} left. How many {things} did {she} have at first?",
            "After eating {a} {treats}, {A} still has {b}. How many {treats} were there before?",
            "{A} sold {a} {goods} and kept {b}. How many {goods} did {she} have at the start?",
        ),
        ("a + b",),
        "at first",
    ),
)
