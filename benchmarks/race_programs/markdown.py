"""A library: mistune renders a page of markdown."""

import mistune

PAGE = """
# A *title* with `code`

Some **bold words**, [a link](http://example.com "with a title") and ![a picture](picture.png).

- one item
- another
  - an *inner* one
- a last one

> a quotation with `code` and <b>tags</b>

1. first
2. second

```python
def double(x):
    return 2 * x
```

A line that is broken  
in two, an entity &amp; and *words **within** words*.

"""  # noqa: W291


def main() -> object:
    render = mistune.create_markdown()
    return sum(len(str(render(PAGE * 10))) for _ in range(5))
