#!/usr/bin/perl

# Copyright (C) ngx_mqtt_module authors

# The status page: form, methods, headers, what is counted, and that the
# counters of a worker that ended stay in the sum.

###############################################################################

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";
use IO::Socket::INET;
use MqttTest;
use Test::More tests => 29;

###############################################################################

my $t = MqttTest->new;

$t->write_conf(workers => 2, http => <<'END');
    server {
        listen 127.0.0.1:%%PORT_json%%;
        location / { mqtt_status json; }
    }
END
$t->run;

my ($body, $status, $headers) = $t->http_get('/mqtt');

is($status, 200, 'GET');
like($headers, qr{^Content-Type: application/json\r?$}mi, 'Content-Type');
like($headers, qr/^Cache-Control: no-cache\r?$/mi, 'Cache-Control');
like($headers, qr/^Content-Length: ${\length $body}\r?$/mi, 'Content-Length');

my $json = $t->status;

is($json->{version}, 1, 'version of the format');
like($json->{nginx}, qr/^\d+\.\d+\.\d+$/, 'version of nginx');
is_deeply([ keys %{ $json->{gateways} } ], [ 'test' ], 'gateways');

my $gateway = $json->{gateways}{test};
my @workers = @{ $gateway->{workers} };

like($gateway->{node}, qr/^[0-9a-f]{16}$/, 'node');
is_deeply([ sort map { $_->{pid} } @workers ], [ sort $t->worker_pids ],
          'pids of the workers');
is_deeply([ sort map { $_->{worker} } @workers ], [ 0, 1 ], 'their numbers');
is_deeply([ sort map { $_->{generation} } @workers ], [ 1, 2 ],
          'their generations');
is(grep({ $_->{exiting} } @workers), 0, 'none is exiting');
ok(grep({ $_->{pid} == $json->{pid} } @workers), 'one of them answered');

my @names = sort keys %{ $gateway->{total} };

is_deeply([ map { [ sort keys %{ $_->{counters} } ] } @workers ],
          [ ([ @names ]) x 2 ], 'all workers count the same');
ok(!exists $gateway->{retired}{connections}, 'no gauge of the dead');

# other methods

my $answer = request('HEAD', 'http', '/mqtt');
like($answer, qr{^HTTP/1\.1 200 .*\r\n\r\n\z}s, 'HEAD has no body');
like($answer, qr/^Content-Length: [1-9]/mi, 'but its length');
like(request($_, 'http', '/mqtt'), qr{^HTTP/1\.1 405 }, "$_ is not allowed")
    for qw/ POST PUT DELETE /;
like(request('GET', 'json', '/'), qr/\r\n\r\n\{"version":1,/,
     'the format by its name');

# what is counted, and stays

my $c = $t->client(client_id => 'counted');

is($t->total('clients'), 1, 'a gauge');
is($t->total('connects'), 1, 'a counter');

$c->disconnect;

ok(wait_for { $t->total('clients') == 0 }, 'a gauge goes down');
is($t->total('connects'), 1, 'a counter does not');

ok($t->reload, 'reload');
ok(wait_for {
       my $now = $t->status->{gateways}{test};
       @{ $now->{workers} } == 2 && $now->{retired}{connects} == 1 },
   'the counters of old workers are kept');
is($t->total('connects'), 1, 'and part of the sum');

my ($output) = $t->nginx_t_conf(http => <<'END');
    server { listen 127.0.0.1:%%PORT_json%%;
             location / { mqtt_status xml; } }
END
like($output, qr/unknown format "xml" in \S+:\d+$/m, 'unknown format');

###############################################################################

sub request {
    my ($method, $port, $uri) = @_;

    my $s = IO::Socket::INET->new(
        PeerAddr => '127.0.0.1', PeerPort => $t->port($port), Timeout => 5,
    ) or die "HTTP: $!\n";

    print $s "$method $uri HTTP/1.1\r\nHost: localhost\r\n"
             . "Content-Length: 0\r\nConnection: close\r\n\r\n";

    local $/;

    return scalar <$s> // '';
}

###############################################################################
