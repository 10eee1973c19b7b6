#!/usr/bin/perl

# Copyright (C) ngx_mqtt_module authors

# A node that is cut off from Redis, and taken over, while its clients leave:
# what it has to say of them when it is back was told by the other node.

###############################################################################

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";
use MqttTest;
use MqttTest::Status;
use MqttTest::Util qw/ suspend /;
use Test::More tests => 12;

###############################################################################

my $one = MqttTest->new;
my $redis = $one->redis;
my $two = MqttTest->new(redis => $redis);
my $status = $one->kafka->topic('status', partitions => 3);
my $told = 0;

my $conf = <<"END";
    client_status kafka=$status;
    lease_timeout 1s;
END

$two->write_conf(kafka => 1, gateway => $conf);
$two->run;

# the first one reaches Redis through a process that can be stopped

my $forward = $one->write_file('forward.pl', <<'END');
use IO::Select;
use IO::Socket::INET;

my ($listen, $to) = @ARGV;
my $server = IO::Socket::INET->new(LocalAddr => "127.0.0.1:$listen",
                                   Listen => 100, ReuseAddr => 1) or die $!;
my $select = IO::Select->new($server);
my %peer;

while (1) {
    for my $s ($select->can_read) {
        if ($s == $server) {
            my $a = $server->accept or next;
            my $b = IO::Socket::INET->new("127.0.0.1:$to") or die $!;

            $select->add($a, $b);
            @peer{$a, $b} = ($b, $a);
            next;
        }

        my $peer = $peer{$s} or next;
        my $n = sysread $s, my $data, 65536;

        if ($n) {
            my $done = 0;

            while ($done < $n) {
                $done += syswrite($peer, $data, $n - $done, $done) || last;
            }

        } else {
            delete @peer{$s, $peer};
            $select->remove($s, $peer);
            close $_ for $s, $peer;
        }
    }
}
END

my $port = $one->port('forward');
my $proxy = MqttTest::Util->spawn(name => 'forward',
                                  log => $one->dir . '/forward.log',
                                  command => [ $^X, $forward, $port,
                                               $redis->port ]);

my $text = $one->conf(kafka => 1, gateway => $conf);

$text =~ s/redis %%REDIS%%/redis 127.0.0.1:$port timeout=2s/;
$one->write_file_expand('nginx.conf', $text);
$one->run;

my @clients = map { client($_) } 1 .. 40;
events($told + 40);

# cut off, and taken over

ok(suspend($proxy->pid), 'a node is cut off from Redis');

my @events = events($told + 40);
is(keys %{ status_of(tcpclean => @events) }, 40,
   'the other one tells that its clients are gone');
ok((wait_for { $redis->command('ZCARD', 'test:{l}w') == 1 }),
   'all is taken over');
is_deeply([ grep { !/kept/ } $redis->keys('*{c:*') ], [],
          'clean sessions are gone');

$_->close for @clients[0 .. 29];
ok((wait_for { $one->total('status_waiting') == 30 }),
   'they leave, the node waits for Redis');

$one->allow_log(qr/Redis|\[error\].*this worker was silent for too long/);
$two->allow_log(qr/\[warn\]/);
CORE::kill('CONT', $proxy->pid);

ok((wait_for { $one->total('status_waiting') == 0 } 20),
   'it is back and finds out');
ok((wait_for { $one->total('clients') == 0 }), 'others are closed');
ok((wait_for { $redis->command('ZCARD', 'test:{l}w') == 2 }),
   'it begins anew');

$one->accepted(client_id => "after-$_")->disconnect for 1 .. 4;
@events = events($told + 12);
is_deeply([ status_faults(@events) ], [], 'nothing was told twice');

###############################################################################

sub client {
    my ($n) = @_;

    return $one->client(client_id => "clean-$n") if $n % 2;

    return $one->client(client_id => "kept-$n", clean => 0,
                        props => [ [ session_expiry => 100 ] ]);
}


sub events {
    my ($count) = @_;

    my @events = status_events($one, $status, $count, 30);

    is(@events, $count, "$count events");
    $told = @events;

    return @events;
}

###############################################################################
