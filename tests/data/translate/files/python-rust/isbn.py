def digits(number):
    return [int(digit) for digit in str(number)]


def check_digit(number):
    weighted = [digit * (place + 1) for place, digit in enumerate(digits(number))]
    return sum(weighted) % 11 % 10
