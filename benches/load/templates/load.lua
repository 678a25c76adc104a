-- wrk's side of the measurement: one bearer token per request, drawn from a file.
--
--     wrk ... -s load.lua URL -- TOKENS uniform SEED
--     wrk ... -s load.lua URL -- DRAWS sequence 0
--     wrk ... -s load.lua URL -- DRAWS sequence 0 MILLISECONDS
--
-- `uniform` draws from the file's lines at random; `sequence` takes them in order, round and round,
-- for draws whose distribution was decided beforehand. Whole requests are built before the clock
-- starts, so that a request costs wrk one table access. Equal lines share one string. With
-- MILLISECONDS each connection waits about so long between an answer and the next request.

local requests, count, at, uniform = {}, 0, 0, true

function init(args)
    local path, order, seed = args[1], args[2], tonumber(args[3])
    local head = "GET " .. wrk.path .. " HTTP/1.1\r\nHost: " .. wrk.headers["Host"]
        .. "\r\nAuthorization: Bearer "
    for token in io.lines(path) do
        count = count + 1
        requests[count] = head .. token .. "\r\n\r\n"
    end
    assert(count > 0, path .. " holds no tokens")
    uniform = order == "uniform"
    math.randomseed(seed)
    local pause = tonumber(args[4])
    if pause then
        -- wrk asks for it only where there is such a function.
        delay = function() return math.random(0, 2 * pause) end
    end
    collectgarbage()
end

function request()
    if uniform then return requests[math.random(count)] end
    at = at + 1
    if at > count then at = 1 end
    return requests[at]
end

function done(summary, latency)
    local e = summary.errors
    io.write(string.format(
        "RESULT requests=%d duration_us=%d p50_us=%d p99_us=%d connect=%d read=%d write=%d timeout=%d status=%d\n",
        summary.requests, summary.duration, latency:percentile(50), latency:percentile(99),
        e.connect, e.read, e.write, e.timeout, e.status))
end
