"""Objects and attributes: balls that attract each other, in instance dicts and in slots."""


class Point:
    __slots__ = ("x", "y", "z")

    def __init__(self, x: float, y: float, z: float) -> None:
        self.x = x
        self.y = y
        self.z = z


class Ball:
    def __init__(self, number: int) -> None:
        self.place = Point(1.0 * number, 2.0 * number, 3.0 * number)
        self.speed = Point(0.0, 0.0, 0.0)
        self.mass = 1.0 + number
        self.meetings = 0

    def attract(self, other: "Ball", time: float) -> None:
        x = self.place.x - other.place.x
        y = self.place.y - other.place.y
        z = self.place.z - other.place.z
        square = x * x + y * y + z * z + 0.01
        pull = time / (square * square**0.5)
        mine, theirs = other.mass * pull, self.mass * pull
        self.speed.x -= x * mine
        self.speed.y -= y * mine
        self.speed.z -= z * mine
        other.speed.x += x * theirs
        other.speed.y += y * theirs
        other.speed.z += z * theirs
        self.meetings += 1

    def move(self, time: float) -> None:
        self.place.x += time * self.speed.x
        self.place.y += time * self.speed.y
        self.place.z += time * self.speed.z


class Box:
    def __init__(self, size: int) -> None:
        self.balls = [Ball(number) for number in range(size)]
        self.steps = 0

    def step(self, time: float) -> None:
        balls = self.balls
        for i in range(len(balls)):
            for j in range(i + 1, len(balls)):
                balls[i].attract(balls[j], time)
        for ball in balls:
            ball.move(time)
        self.steps += 1


def main() -> object:
    box = Box(20)
    for _ in range(150):
        box.step(0.001)
    return round(box.balls[3].place.x, 9), box.steps
