"""`ludus serve-search`: a corpus behind HTTP, as Search-R1's retrieval servers answer."""

from collections.abc import Sequence
from dataclasses import dataclass

from ludus.cli import parse


@dataclass(frozen=True)
class ServeSearchOptions:
    """Serve a corpus at /retrieve, in the shape of Search-R1's servers; Ctrl-C stops."""

    corpus: str
    """JSON lines with id, title and text, or a text file of paragraphs."""
    host: str = "127.0.0.1"
    """To listen on. There is no password: others than loopback are open to whoever reaches them."""
    port: int = 8000
    """To listen on; 0 takes a free one."""
    k: int = 3
    """Documents, where a request does not say how many."""


def main(args: Sequence[str]) -> int:
    """Run the command."""
    options = parse(ServeSearchOptions, args, "serve-search")
    from ludus.tools.retriever import SearchServer
    from ludus.tools.search import Index

    try:
        index = Index.open(options.corpus)
    except OSError as error:
        raise ValueError(f"corpus {options.corpus}: {error.strerror}") from error
    try:
        server = SearchServer(index, options.host, options.port, k=options.k)
    except OSError as error:
        where = f"{options.host}:{options.port}"
        raise ValueError(f"cannot listen on {where}: {error.strerror}") from error
    with server:
        count, where = len(index.documents), f"{options.host}:{server.server_port}"
        print(f"{count:,} documents at http://{where}/retrieve; Ctrl-C stops", flush=True)
        server.serve_forever()
    return 0
