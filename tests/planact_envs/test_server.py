"""The miniweb sites over HTTP: every request belongs to an episode."""

import httpx

from planact_envs.miniweb.database import connect
from planact_envs.miniweb.server import EPISODE, serve
from planact_envs.miniweb.world import build_world


def names(database):
    return [row[0] for row in database.execute("SELECT COUNT(*) FROM forum_vote")]


async def test_an_episode_sees_its_own_database_and_nobody_elses():
    async with serve() as episodes, httpx.AsyncClient(base_url=f"http://127.0.0.1:{episodes.address[1]}", trust_env=False) as client:
        one, other = connect(build_world()), connect(build_world())
        first, second = episodes.open(one), episodes.open(other)
        host = {"Host": "forum.miniweb"}
        before = names(other)
        answer = await client.post("/post/3/vote", headers={**host, EPISODE: first})
        assert answer.status_code == 303 and answer.headers["cache-control"] == "no-store"
        assert names(one) != before == names(other)
        assert (await client.get("/post/3", headers={**host, EPISODE: first})).text != (
            await client.get("/post/3", headers={**host, EPISODE: second})
        ).text
        episodes.close(first)
        for headers in (host, {**host, EPISODE: first}, {**host, EPISODE: b"\xe9"}):
            assert (await client.get("/post/3", headers=headers)).status_code == 404
        one.close()
        other.close()


async def test_the_port_is_free_again():
    async with serve() as episodes:
        address = episodes.address
    async with httpx.AsyncClient(trust_env=False) as client:
        try:
            await client.get(f"http://{address[0]}:{address[1]}/")
        except httpx.ConnectError:
            return
    raise AssertionError("the server still answers")
